"""The processes of a stranger's program: started, waited for by what they print, always ended."""

from __future__ import annotations

import os
import queue
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["Failed", "Program", "free_ports", "run"]

LINES_SHOWN = 30
SECONDS_TO_END = 10.0
HOST = "127.0.0.1"
PORTS = (20_000, 32_000)
"""Below those that systems give to connections."""


class Failed(Exception):
    """A program did not do what it should have; notes tell what the programs have printed."""


class Program:
    """A running program, whose standard output and error are read as one; a context manager.

    Args:
        name: what the program is called in errors.
        command: the program and its arguments.
        folder: where it runs.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.printed: list[str] = []
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_environment() | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def expect(self, text: str, seconds: float = 60.0) -> str:
        """Return the next line in which the text is.

        Raises:
            Failed: none came within the seconds, or before the program ended.
        """
        deadline = time.monotonic() + seconds
        while (line := self._next_line(deadline)) is not None:
            if text in line:
                return line
        raise self.failed(f"ended without {text!r}")

    def wait(self, seconds: float = 60.0, statuses: Collection[int] = (0,)) -> str:
        """Return all that the program has printed when it has ended by itself.

        Raises:
            Failed: it took longer than the seconds, or ended with a status that is none of these.
        """
        deadline = time.monotonic() + seconds
        while self._next_line(deadline) is not None:
            pass
        status = self._process.wait(SECONDS_TO_END)
        if status not in statuses:
            raise self.failed(f"ended with status {status}")
        return "\n".join(self.printed)

    def end(self) -> str:
        """Tell the program to end, and return all that it has printed once it has.

        Raises:
            Failed: it has not ended in time.
        """
        self._process.terminate()
        deadline = time.monotonic() + SECONDS_TO_END
        while self._next_line(deadline) is not None:
            pass
        return "\n".join(self.printed)

    def failed(self, why: str) -> Failed:
        """Return the error that says why; the end of the block adds what was printed."""
        return Failed(f"{self.name} {why}")

    def close(self) -> None:
        """End the program and all that it has started; a second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_END)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, Failed):
            while (line := self._lines.get()) is not None:
                self.printed.append(line)
            error.add_note("\n  ".join([f"{self.name} printed:", *self.printed[-LINES_SHOWN:]]))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _next_line(self, deadline: float) -> str | None:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise self.failed("was waited for in vain") from None
        if line is None:
            # For the next who asks: the program stays ended.
            self._lines.put(None)
        else:
            self.printed.append(line)
        return line


def run(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 60.0,
    statuses: Collection[int] = (0,),
) -> str:
    """Return what a program prints until it ends by itself; see :meth:`Program.wait`."""
    with Program(name, command, folder, environment) as program:
        return program.wait(seconds, statuses)


def free_ports(number: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on, and no connection is given by itself.

    Those that the system gives are no good: one could be taken by a connection of the program, even
    by one that is made to it before it listens.
    """
    found: set[int] = set()
    while len(found) < number:
        port = random.randrange(*PORTS)
        with socket.socket() as one, suppress(OSError):
            one.bind((HOST, port))
            found.add(port)
    return sorted(found)


def _environment() -> dict[str, str]:
    """Return this process's variables without those by which Python finds modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
