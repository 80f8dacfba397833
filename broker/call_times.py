"""How long calls took, in the buckets of a histogram."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise

__all__ = ["BUCKETS", "CallTimes"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of the histogram of ``pb_call_seconds``, in seconds."""

MOST_TIMES = 1000
"""How many times are kept until they are put into their buckets."""


class CallTimes:
    """The calls with one set of labels.

    Sorting many times at once costs less than finding the bucket of each.

    Attributes:
        times: the seconds of those that are not in a bucket yet.
    """

    __slots__ = ("_buckets", "_seconds", "times")

    def __init__(self) -> None:
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self.times: list[float] = []

    def add(self, seconds: Iterable[float]) -> None:
        """Count calls by their seconds."""
        self.times += seconds
        if len(self.times) >= MOST_TIMES:
            self.settle()

    def settle(self) -> None:
        """Put them into their buckets."""
        times, self.times = self.times, []
        times.sort()
        self._seconds += sum(times)
        ends = [bisect_right(times, bound) for bound in BUCKETS]
        for index, (start, end) in enumerate(pairwise([0, *ends, len(times)])):
            self._buckets[index] += end - start

    @property
    def seconds(self) -> float:
        """The sum of their times."""
        self.settle()
        return self._seconds

    @property
    def below(self) -> list[int]:
        """How many took at most the time of each bound of `BUCKETS`; the last is that of all."""
        self.settle()
        return list(accumulate(self._buckets))
