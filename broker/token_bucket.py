"""Tallies: how often something has gone wrong lately, for each of many.

Each mark fades: so many may stand at once, and one goes in so many seconds. That needs one number
for each key, the time at which its last mark will have gone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from msgspec import Struct

__all__ = ["MOST_KEYS", "Rate", "TokenBuckets"]

MOST_KEYS: Final = 10_000
"""Keys that one tally remembers; the one that was marked longest ago makes room for a new one."""


class Rate(Struct, frozen=True):
    """What may go wrong before the next must wait.

    Attributes:
        at_once: how often, without any wait; at least 1.
        seconds: after these once more, and so on.

    Raises:
        ValueError: one of them is too small.
    """

    at_once: int
    seconds: float

    def __post_init__(self) -> None:
        if self.at_once < 1 or not self.seconds > 0:
            raise ValueError(
                f"an allowance is at least 1, and one more in some seconds; not {self.at_once},"
                f" and one in {self.seconds:g} s"
            )


class TokenBuckets:
    """Marks, for many keys.

    Args:
        allowance: of each key.
        clock: the time in seconds; only differences count.
    """

    def __init__(self, allowance: Rate, clock: Callable[[], float]):
        self._allowance = allowance
        self._clock = clock
        self._gone_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._gone_at)

    def wait(self, key: Hashable) -> float:
        """Return in how many seconds the key may have its next try; 0.0 for now."""
        gone_at = self._gone_at.get(key)
        if gone_at is None:
            return 0.0
        left = gone_at - self._clock()
        if left <= 0.0:
            del self._gone_at[key]
            return 0.0
        return max(0.0, left - (self._allowance.at_once - 1) * self._allowance.seconds)

    def mark(self, key: Hashable) -> None:
        """Add a mark to the key."""
        # Out and in again: the order is that of the last marks.
        now = self._clock()
        gone_at = max(now, self._gone_at.pop(key, now))
        while len(self._gone_at) >= MOST_KEYS:
            del self._gone_at[next(iter(self._gone_at))]
        self._gone_at[key] = gone_at + self._allowance.seconds

    def clear(self, key: Hashable) -> None:
        """Take all marks from the key."""
        self._gone_at.pop(key, None)
