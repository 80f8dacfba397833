"""History: the newest entries of a numbered sequence, limited by their number, size and age.

Theory of operation. The number of an entry is its *offset*; offsets rise. The oldest entries go
first. So a reader that has all entries up to an offset can go on from there if no later one is
gone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

__all__ = ["LARGEST_OFFSET", "History", "Position", "Recent"]

Item = TypeVar("Item")

# Characters of an epoch, and digits of an offset.
_LONGEST_EPOCH, _MOST_DIGITS = 64, 18
LARGEST_OFFSET = (1 << 63) - 1
"""The largest offset that can be sent."""


class History(Struct, frozen=True):
    """How much of the past is kept. Where one limit is reached, the oldest entry goes.

    Attributes:
        most: how many entries; 0 keeps none.
        seconds: how long an entry is kept; None for no limit.
        size: bytes of all entries together.

    Raises:
        ValueError: ``most`` or ``size`` is negative, or ``seconds`` is not positive.
        TypeError: ``most`` or ``size`` is not an int.
    """

    most: int = 1000
    seconds: float | None = None
    size: int = 16_777_216

    def __post_init__(self) -> None:
        for name, value in (("most", self.most), ("size", self.size)):
            if type(value) is not int:
                raise TypeError(f"History.{name} is an int, not {type(value).__name__}")
            if value < 0:
                raise ValueError(f"History.{name} is {value}: it cannot be negative")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"History.seconds is {self.seconds}: it must be positive, or None")


class Position(Struct, array_like=True, frozen=True):
    """A place in a history: the entries up to ``offset`` have been seen.

    ``str(position)`` is its text form, ``<epoch>.<offset>``, and :meth:`read` reads it.

    Attributes:
        epoch: names the count; another epoch means that the count began anew.
        offset: the number of the last entry.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}"

    @classmethod
    def read(cls, text: str) -> Position | None:
        """Return the position of a text form, or None for any other text."""
        epoch, dot, digits = text.rpartition(".")
        if not dot or not 0 < len(epoch) <= _LONGEST_EPOCH or len(digits) > _MOST_DIGITS:
            return None
        if not (digits.isascii() and digits.isdigit()):
            return None
        return cls(epoch, int(digits))


class _Entry(NamedTuple, Generic[Item]):
    offset: int
    time: float
    size: int
    item: Item


class Recent(Generic[Item]):
    """The entries that a History keeps.

    Args:
        history: the limits.
        now: the clock, in seconds.

    Attributes:
        size: bytes of all entries.
    """

    __slots__ = ("_entries", "_forgotten", "_history", "_now", "size")

    def __init__(self, history: History, now: Callable[[], float] = time.monotonic):
        self._history = history
        self._now = now
        self._entries: deque[_Entry[Item]] = deque()
        self._forgotten = 0
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def forgotten(self) -> int:
        """The largest offset of an entry that is gone; 0 if none is."""
        self._expire()
        return self._forgotten

    def add(self, offset: int, item: Item, size: int) -> None:
        """Add an entry of ``size`` bytes, whose offset is larger than those before."""
        self._entries.append(_Entry(offset, self._now(), size, item))
        self.size += size
        self._expire()

    def clear(self) -> None:
        """Forget all entries."""
        if self._entries:
            self._forgotten = self._entries[-1].offset
            self._entries.clear()
            self.size = 0

    def get(self, offset: int) -> Item | None:
        """Return the entry of an offset, or None if it is gone; the offsets have no holes."""
        self._expire()
        entries = self._entries
        index = offset - entries[0].offset if entries else -1
        return entries[index].item if 0 <= index < len(entries) else None

    def since(self, offset: int) -> list[tuple[int, Item]] | None:
        """Return offsets and items of the entries after ``offset``; None if one of them is gone."""
        if offset < self.forgotten:
            return None
        found: list[tuple[int, Item]] = []
        for entry in reversed(self._entries):
            if entry.offset <= offset:
                break
            found.append((entry.offset, entry.item))
        found.reverse()
        return found

    def _expire(self) -> None:
        entries, history = self._entries, self._history
        if not entries:
            return
        oldest = float("-inf") if history.seconds is None else self._now() - history.seconds
        while entries and (
            len(entries) > history.most or self.size > history.size or entries[0].time <= oldest
        ):
            gone = entries.popleft()
            self.size -= gone.size
            self._forgotten = gone.offset
