"""A command at a terminal of its own, for a test that types, and waits for what is displayed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

__all__ = ["Terminal"]

TIMEOUT = 30.0


class Terminal:
    """A running command: ``with Terminal(command, folder) as terminal``.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        environment: what is added to the environment of this process.
        size: rows and columns.

    Attributes:
        shown: all that was displayed.
        process: the command.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        size: tuple[int, int] = (24, 80),
    ):
        self._command = command
        self._folder = folder
        self._environment = dict(environment or {})
        self._size = size
        self._seen = 0
        self.shown = ""

    @classmethod
    def of_pb(cls, folder: Path, *arguments: str) -> Self:
        """Return the command ``pb`` with these arguments; its history is in the folder."""
        command = [sys.executable, "-W", "error", "-m", "broker", *arguments]
        return cls(command, folder, {"TERM": "dumb", "XDG_STATE_HOME": str(folder)})

    def __enter__(self) -> Self:
        self._ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))
        self.process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env={**os.environ, **self._environment},
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            # Ctrl-C is a signal to the processes of the terminal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(its)
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type a text, as it is."""
        os.write(self._ours, text.encode())

    def line(self, text: str) -> None:
        """Type a line."""
        self.type(f"{text}\n")

    def until(self, text: str) -> str:
        """Wait until a text is displayed after what was waited for before; return all up to it."""
        end = time.monotonic() + TIMEOUT
        while text not in self.shown[self._seen :]:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} is not displayed, but {self.shown!r}")
        at = self.shown.index(text, self._seen) + len(text)
        found = self.shown[self._seen : at]
        self._seen = at
        return found

    def interrupt(self, text: str) -> str:
        """Press Ctrl-C until a text is displayed; return all up to it.

        A line editor that is between two looks at its input does not notice the first one.
        """
        end = time.monotonic() + TIMEOUT
        while text not in self.shown[self._seen :] and time.monotonic() < end:
            self.type("\x03")
            while text not in self.shown[self._seen :] and self._read(1.0):
                pass
        return self.until(text)

    def ended(self) -> int:
        """Wait for the end of the command; return its exit status."""
        end = time.monotonic() + TIMEOUT
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(TIMEOUT)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            # Linux raises this when the last process at the other side has closed it.
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
