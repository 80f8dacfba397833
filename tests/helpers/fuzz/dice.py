"""Choices that are made by bytes: the same bytes make the same input, with or without a fuzzer.

A coverage-guided fuzzer changes the bytes, and so one choice after the other; a seeded random
generator supplies them as well. When the bytes run out every choice is the first one, so that each
structure ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Dice"]

Item = TypeVar("Item")


class Dice:
    """Hands out choices.

    Args:
        data: what decides them.
    """

    __slots__ = ("_data", "_end", "_pos")

    def __init__(self, data: bytes):
        self._data = data
        self._pos = 0
        self._end = len(data)

    @property
    def is_empty(self) -> bool:
        """Whether all further choices are the first one."""
        return self._pos >= self._end

    def byte(self) -> int:
        """Return a number below 256."""
        pos = self._pos
        if pos >= self._end:
            return 0
        self._pos = pos + 1
        return self._data[pos]

    def below(self, most: int) -> int:
        """Return a number below ``most``, which is at most 65536."""
        if most <= 256:
            return self.byte() % most
        return (self.byte() << 8 | self.byte()) % most

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of ``items``."""
        return items[self.byte() % len(items)]

    def once_in(self, times: int) -> bool:
        """Return True about once in so many times, which is at most 256; False at the end."""
        return self.byte() % times == times - 1

    def octets(self, most: int) -> bytes:
        """Return at most so many bytes, fewer than 256."""
        size = self.byte() % (most + 1)
        pos = self._pos
        self._pos = min(pos + size, self._end)
        return self._data[pos : pos + size]

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        pos, self._pos = self._pos, self._end
        return self._data[pos:]
