"""Collected references to the peer's objects and caches, until the peer is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from broker.core.wire.messages import Decache, Decref, ObjectId

__all__ = ["PendingReleases"]

Release: TypeAlias = tuple[Callable[..., Decref | Decache], ObjectId, int]


class PendingReleases:
    """The collected references of one connection that the peer has not been told of.

    Finalizers add to it. They may interrupt any code, in any thread. So it is a list, and each
    operation on it is one step of the interpreter.

    Args:
        on_dropped: called after each addition.

    Attributes:
        notes: the entries: the command to send, the id, the number of receptions.
    """

    __slots__ = ("_on_dropped", "notes")

    def __init__(self, on_dropped: Callable[[], object]):
        self._on_dropped: Callable[[], object] | None = on_dropped
        self.notes: list[Release] = []

    def __iter__(self) -> Iterator[Release]:
        """Remove and yield all entries: the record to send, the id, the number of receptions."""
        while self.notes:
            yield self.notes.pop()

    def reference(self, object_id: ObjectId, count: int) -> None:
        """Add an object that was received ``count`` times and has no reference any more."""
        self._note((Decref, object_id, count))

    def cache(self, cache_id: ObjectId, count: int) -> None:
        """Add a cache that was received ``count`` times and has no reference any more."""
        self._note((Decache, cache_id, count))

    def put_back(
        self, message: Callable[..., Decref | Decache], object_id: ObjectId, count: int
    ) -> None:
        """Add again the part of a removed entry that the peer was not told of."""
        self.notes.append((message, object_id, count))

    def close(self) -> None:
        """Remove all entries and ignore further ones, since the connection is gone."""
        self._on_dropped = None
        self.notes.clear()

    def _note(self, note: Release) -> None:
        on_dropped = self._on_dropped
        if on_dropped is not None:
            self.notes.append(note)
            on_dropped()
