"""Changes of a TableView: each changed key once, with its newest value, however slow the reader."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Generic, Literal, TypeVar

__all__ = ["GONE", "Changes", "Gone"]

K = TypeVar("K")
V = TypeVar("V")


class Gone(enum.Enum):
    """The type of ``broker.GONE``."""

    GONE = "gone"

    @property
    def __name__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return "broker.GONE"


GONE: Final = Gone.GONE
"""In ``TableView.changes()``: the value of a key that was removed."""


class Changes(AsyncIterator[tuple[K, V | Literal[Gone.GONE]]], Generic[K, V]):
    """The changes of a view since this was made.

    Only keys wait for the reader, at most those that it knows and those of the view. A key that was
    added and removed since its last step does not.

    Args:
        items: returns the keys and values of the view.
    """

    def __init__(self, items: Callable[[], Mapping[K, V]]):
        self._items = items
        # By key, whether the reader knows it.
        self._pending: dict[K, bool] = {}
        self._why: Exception | None = None
        self._wakes: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """Number of keys that wait."""
        return len(self._pending)

    def note(self, key: K, existed: bool) -> None:
        """Note that a key has changed, and whether the view had it before."""
        pending = self._pending
        if pending.setdefault(key, existed) is False and key not in self._items():
            del pending[key]
        elif self._wakes is not None:
            self._wakes.set()

    def end(self, why: Exception) -> None:
        """Raise an error once no key waits."""
        self._why = why
        if self._wakes is not None:
            self._wakes.set()

    async def __anext__(self) -> tuple[K, V | Literal[Gone.GONE]]:
        """Return the next changed key and its value, or ``broker.GONE``."""
        while not self._pending:
            if self._why is not None:
                raise self._why
            if self._wakes is None:
                self._wakes = asyncio.Event()
            self._wakes.clear()
            await self._wakes.wait()
        key = next(iter(self._pending))
        del self._pending[key]
        return key, self._items().get(key, GONE)
