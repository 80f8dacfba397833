"""The clock of a measurement: time, processor time of both ends, and memory of the server.

What the system does not tell (this reads Linux's ``/proc``) is left out of the figures.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["Meter", "cpu_of", "memory_of"]


class Meter:
    """Measures what happens between ``start`` and ``stop``.

    Args:
        server: the process id of the other end.
    """

    def __init__(self, server: int):
        self._processes = (os.getpid(), server)
        self._begun = self._cpu = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._cpu = self._spent()
        self._begun = time.perf_counter()

    def stop(self, calls: int) -> dict[str, float]:
        """Return the figures of so many calls: ``rate`` a second, and ``cpu_us`` for one of them.

        The processor time is that of both ends together, so it can be more than the time.
        """
        taken = time.perf_counter() - self._begun
        figures = {"calls": calls, "rate": calls / taken}
        cpu = self._spent() - self._cpu
        if cpu:
            figures["cpu_us"] = 1e6 * cpu / calls
        return figures

    def _spent(self) -> float:
        return sum(map(cpu_of, self._processes))


def cpu_of(process: int) -> float:
    """Return the seconds that the threads of a process have run; 0 where that is not told."""
    nanoseconds = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        try:
            nanoseconds += int(path.read_text(encoding="ascii").split()[0])
        except OSError:  # the thread has just ended
            continue
    return nanoseconds / 1e9


def memory_of(process: int) -> int | None:
    """Return the resident bytes of a process; None where that is not told."""
    try:
        text = Path(f"/proc/{process}/statm").read_text(encoding="ascii")
    except OSError:
        return None
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
