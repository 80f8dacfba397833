"""What one program in one pairing has shown, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from field.processes import Failed

__all__ = ["Row"]


class Row:
    """A line of the table: a program, which parts of it are moved, and what came of it."""

    def __init__(self, program: str, pairing: str) -> None:
        self.program = program
        self.pairing = pairing
        self.told = ""
        self.failed = False
        self.seconds = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Measure the time of the block; if it raises Failed, that is what is told."""
        begun = time.monotonic()
        try:
            yield
        except Failed as error:
            self.failed = True
            self.told = "\n".join([str(error), *getattr(error, "__notes__", ())])
        finally:
            self.seconds = time.monotonic() - begun

    def __str__(self) -> str:
        mark = "FAILED" if self.failed else "ok"
        head = f"{mark:6} | {self.program:36} | {self.pairing:37}"
        return f"{head} | {self.seconds:5.1f} s | {self.told}"

    def tell(self, told: str) -> None:
        """Say what the program has shown."""
        self.told = told
