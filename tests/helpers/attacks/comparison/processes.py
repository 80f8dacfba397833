"""Attacked programs, each in its own process, whose costs are read from the system."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from support.programs import command, environment

__all__ = ["PATIENCE", "Program", "Witness"]

PATIENCE = 10.0
"""Seconds after which a server that does not answer counts as stopped."""


class Program:
    """An attacked program; a context manager that ends it.

    Args:
        name: its module, in this package.
        arguments: the command line after the path of its log.

    Attributes:
        ports: the port for each served name: the first line that the program writes, as JSON.
        log: the path of its log.
        folder: where it runs: empty at first, and removed at the end.
    """

    def __init__(self, name: str, *arguments: str):
        self._folder = tempfile.TemporaryDirectory(prefix="duel-")
        self.folder = Path(self._folder.name)
        self.log = self.folder / "log"
        self._process = subprocess.Popen(
            command(f"attacks.comparison.{name}", str(self.log), *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
            env=environment(PYTHONHASHSEED="0"),
        )
        # The number of the clock for a process's processor time is computed from the process's
        # number.
        self._clock = (~self._process.pid << 3) | 2
        self.ports: dict[str, int] = self.read()

    @property
    def cpu(self) -> float:
        """The processor seconds so far, in all threads."""
        return time.clock_gettime(self._clock)

    def memory(self, name: str = "VmRSS") -> int:
        """Resident bytes now (``VmRSS``), or at most since :meth:`mark` (``VmHWM``)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        for line in status.splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise ValueError(name)

    def mark(self) -> None:
        """Reset the peak of resident bytes."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", "ascii")

    @property
    def descriptors(self) -> int:
        """The number of its open files and sockets."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    @property
    def log_size(self) -> int:
        """Bytes of the log so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def write(self, value: Any) -> None:
        """Write a line of JSON to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """Read a line of JSON from it."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._folder.cleanup()


class Witness(Program):
    """Another client, which calls ``echo`` without pause, and records how long it waits.

    It has its own process, so that only the server can make it wait, not the attacker.
    """

    def __init__(self) -> None:
        super().__init__("witness")

    def connect(self, port: int) -> None:
        """Connect to another server, and make a call."""
        self._ask("connect", port)

    def start(self) -> None:
        """Call without pause from now on."""
        self._ask("start")

    def stop(self) -> tuple[float, int, bool]:
        """Stop; return the longest wait in seconds, how many calls, and if it still is served."""
        longest, calls, is_served = self._ask("stop")
        return longest, calls, is_served

    def _ask(self, *words: Any) -> Any:
        self.write(words)
        return self.read()
