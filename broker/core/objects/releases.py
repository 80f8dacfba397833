"""Dropped: receptions of the peer's objects and caches that ended here, until the peer is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from broker.core.wire.messages import ObjectId

__all__ = ["PendingReleases"]


class PendingReleases:
    """What was collected on one connection and the peer has not been told of.

    Finalizers add to it, which may interrupt anything, in any thread: so it is a list, and all that
    is done to it is one step of the interpreter.

    Args:
        on_dropped: called after each addition.
    """

    __slots__ = ("_notes", "_on_dropped")

    def __init__(self, on_dropped: Callable[[], object]):
        self._on_dropped: Callable[[], object] | None = on_dropped
        self._notes: list[tuple[bytes, ObjectId, int]] = []

    def __bool__(self) -> bool:
        return bool(self._notes)

    def __iter__(self) -> Iterator[tuple[bytes, ObjectId, int]]:
        """Take out what is there: the command that tells it, the id, and how many receptions."""
        while self._notes:
            yield self._notes.pop()

    def reference(self, object_id: ObjectId, count: int) -> None:
        """Note that an object of the peer's, received ``count`` times, is referred to no more."""
        self._note((b"decref", object_id, count))

    def cache(self, cache_id: ObjectId, count: int) -> None:
        """Note that a cache of the peer's, received ``count`` times, is referred to no more."""
        self._note((b"decache", cache_id, count))

    def put_back(self, command: bytes, object_id: ObjectId, count: int) -> None:
        """Note again what was taken out and is not told yet."""
        self._notes.append((command, object_id, count))

    def close(self) -> None:
        """Forget all, and note nothing more: nobody is left to tell."""
        self._on_dropped = None
        self._notes.clear()

    def _note(self, note: tuple[bytes, ObjectId, int]) -> None:
        on_dropped = self._on_dropped
        if on_dropped is not None:
            self._notes.append(note)
            on_dropped()
