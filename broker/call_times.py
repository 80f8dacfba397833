"""How long calls took, in the buckets of a histogram."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate

__all__ = ["BUCKETS", "CallTimes"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histogram of ``pb_call_seconds``, in seconds."""


class CallTimes:
    """The calls with one set of labels: the `broker.core.tracer.Times` of the metrics.

    Args:
        clock: also an attribute.

    Attributes:
        clock, most_short, short: see `broker.core.tracer.Times`. The short calls are those of the
            first bucket.
        seconds: the sum of the times of all.
    """

    __slots__ = ("_longer", "clock", "most_short", "seconds", "short")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.most_short = BUCKETS[0]
        self.short = 0
        self.seconds = 0.0
        # Those in each of the other buckets.
        self._longer = [0] * len(BUCKETS)

    def add(self, seconds: float) -> None:
        """Count a call that took so many seconds."""
        self.seconds += seconds
        if seconds <= self.most_short:
            self.short += 1
        else:
            self._longer[bisect_left(BUCKETS, seconds) - 1] += 1

    @property
    def below(self) -> list[int]:
        """How many took at most the time of each bound of `BUCKETS`; the last is that of all."""
        return list(accumulate([self.short, *self._longer]))
