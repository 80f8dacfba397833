"""Token buckets: limit how often something may go wrong, for each of many keys.

Theory of operation. Each key may have ``burst`` marks at the same time, and one mark expires every
``per`` seconds. One number a key is enough: the time at which its last mark expires.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from msgspec import Struct

__all__ = ["MOST_KEYS", "Rate", "TokenBuckets"]

MOST_KEYS: Final = 10_000
"""Keys that one `TokenBuckets` remembers; a new one replaces the key that was marked longest ago.
"""


class Rate(Struct, frozen=True):
    """How often something may go wrong.

    Attributes:
        burst: how often without a wait; at least 1.
        per: seconds after which it may go wrong once more, and so on.

    Raises:
        ValueError: one of them is too small.
    """

    burst: int
    per: float

    def __post_init__(self) -> None:
        if self.burst < 1 or not self.per > 0:
            raise ValueError(
                "a rate has a burst of at least 1, and one more per some seconds; not"
                f" {self.burst}, and one per {self.per:g} s"
            )


class TokenBuckets:
    """The marks of many keys.

    Args:
        rate: the limit of each key.
        clock: returns the time in seconds; only differences count.

    Attributes:
        expires_at: when the marks of each key expire; a key without marks is not in it.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float]):
        self._rate = rate
        self._clock = clock
        self.expires_at: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self.expires_at)

    def wait(self, key: Hashable) -> float:
        """Return the seconds until the key may try again; 0.0 if it may now."""
        expires_at = self.expires_at.get(key)
        if expires_at is None:
            return 0.0
        left = expires_at - self._clock()
        if left <= 0.0:
            del self.expires_at[key]
            return 0.0
        return max(0.0, left - (self._rate.burst - 1) * self._rate.per)

    def mark(self, key: Hashable) -> None:
        """Add a mark to the key."""
        # Removed and added again, so that the dict has the order of the last marks.
        now = self._clock()
        expires_at = max(now, self.expires_at.pop(key, now))
        while len(self.expires_at) >= MOST_KEYS:
            del self.expires_at[next(iter(self.expires_at))]
        self.expires_at[key] = expires_at + self._rate.per

    def clear(self, key: Hashable) -> None:
        """Remove all marks of the key."""
        self.expires_at.pop(key, None)
