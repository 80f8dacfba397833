"""Programs that a test runs in processes: read line by line, and always ended.

A program is a Python file that prints one JSON value a line. It runs under the interpreter of the
tests, in its own empty folder. It can import the installed packages but not the checkout, except
the folders that the caller names. It does not outlive the test, even if the test is killed: its
standard input is a pipe without writes, and it ends when the pipe is closed.
"""

from __future__ import annotations

import json
import os
import queue
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["Peer", "PeerFailed", "explained_by"]

STDERR_SHOWN = 4000
SECONDS_TO_END = 5.0


class PeerFailed(AssertionError):
    """A program printed nothing in time, printed a line that is not JSON, or ended too early."""


class Peer:
    """A running program; a context manager that ends it.

    Args:
        program: the Python file to run as ``__main__``.
        arguments: its command line.
        path: folders that it may import from, besides the installed packages.

    An exception that leaves the ``with`` block gets the program's standard error as a note.
    """

    def __init__(self, program: Path, *arguments: str, path: Sequence[Path] = ()) -> None:
        self.name = " ".join([program.name, *arguments])
        self._folder = tempfile.TemporaryDirectory(prefix="peer-")
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the peer
        environment = dict(os.environ)
        environment["PYTHONSAFEPATH"] = "1"
        environment["PYTHONUNBUFFERED"] = "1"
        environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=self._folder.name,
            env=environment,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def read(self, seconds: float = 10.0) -> Any:
        """Return the next JSON value that the program prints.

        Raises:
            PeerFailed: it printed nothing in time, it ended, or the line is not JSON.
        """
        line = self._next_line(seconds)
        if line is None:
            raise self._failed("ended")
        return self._decode(line)

    def read_all(self, seconds: float = 30.0) -> list[Any]:
        """Return all JSON values until the program ends with status 0.

        Raises:
            PeerFailed: it took too long, had another status, or a line is not JSON.
        """
        deadline = time.monotonic() + seconds
        values = []
        while (line := self._next_line(deadline - time.monotonic())) is not None:
            values.append(self._decode(line))
        status = self._process.wait(SECONDS_TO_END)
        if status != 0:
            raise self._failed(f"ended with status {status}")
        return values

    def stderr(self) -> str:
        """Return the last part of the standard error."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace")[-STDERR_SHOWN:]

    def close(self) -> None:
        """End the program and delete its folder; a second call does nothing."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()
        self._folder.cleanup()

    def _next_line(self, seconds: float) -> bytes | None:
        try:
            return self._lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise self._failed("said nothing in time") from None

    def _decode(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError:
            raise self._failed(f"printed {line[:200]!r}, which is no JSON") from None

    def _failed(self, what: str) -> PeerFailed:
        return PeerFailed(f"{self.name} {what}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if value is not None:
            _annotate(value, self)
        self.close()


@contextmanager
def explained_by(*peers: Peer) -> Iterator[None]:
    """Add the standard error of still running peers to an exception that leaves the block."""
    try:
        yield
    except Exception as exc:
        for peer in peers:
            _annotate(exc, peer)
        raise


def _annotate(exc: BaseException, peer: Peer) -> None:
    exc.add_note(f"standard error of {peer.name}:\n{peer.stderr() or '(nothing)'}")


def _end_with_parent() -> None:
    # Not sys.stdin: a thread that waits inside it stops the interpreter from ending cleanly.
    os.read(0, 1)
    os._exit(0)


def _launch() -> None:
    """Run the program of the command line as ``__main__`` while standard input is open."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[:] = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _launch()
