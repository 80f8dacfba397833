"""One input, run and watched: what it raises, how long it takes, how much memory it asks for."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable

__all__ = ["CPU_SECONDS", "MEMORY_KIB", "Watch"]

# Of an input of at most 64 KiB, which are all inputs here.
CPU_SECONDS = 0.05
MEMORY_KIB = 64 * 1024
# To touch so much memory takes longer than that: what was quicker need not be asked for it.
_QUICK_SECONDS = 0.002


class Watch:
    """Runs inputs, one after the other.

    Args:
        fuzz: runs an input of a target.
        allowance: how many times as long as ``CPU_SECONDS`` it may take, for code that is slowed
            down by being watched.
    """

    def __init__(self, fuzz: Callable[[bytes], None], allowance: float = 1.0):
        self._fuzz = fuzz
        self._seconds = CPU_SECONDS * allowance
        self._peak = _peak()

    def find(self, data: bytes) -> str | None:
        """Run one input, and return what is wrong with it, or None.

        The text is the same for the same fault: the kind of exception and where it was raised.
        """
        begin = time.perf_counter()
        try:
            self._fuzz(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            return _place(error)
        seconds = time.perf_counter() - begin
        if seconds < _QUICK_SECONDS:
            return None
        if seconds > self._seconds and self._is_slow(data):
            return f"slow: more than {CPU_SECONDS * 1000:.0f} ms of CPU"
        before, self._peak = self._peak, _peak()
        if self._peak - before > MEMORY_KIB:
            return f"large: more than {MEMORY_KIB // 1024} MiB"
        return None

    def _is_slow(self, data: bytes) -> bool:
        """Measure again: what else the machine did, or a collection of garbage, is no fault."""
        best = float("inf")
        for _ in range(3):
            begin = time.thread_time()
            self._fuzz(data)
            best = min(best, time.thread_time() - begin)
        return best > self._seconds


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _place(error: BaseException) -> str:
    """Return the kind of an exception, the text of a failed assertion, and where it was raised."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    frames = traceback.extract_tb(cause.__traceback__)
    last = frames[-1] if frames else None
    where = f"{last.filename.rpartition('/')[2]}, {last.name}" if last is not None else "nowhere"
    text = f": {error}" if isinstance(error, AssertionError) else ""
    return f"{type(cause).__name__}{text} in {where}"
