"""Collected references to a peer's objects, caches and streams, until the peer is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

from broker.core.wire.messages import Decache, Decref, ObjectId, Stop

__all__ = ["PendingReleases", "stop_of"]

Release: TypeAlias = tuple[Callable[..., Decref | Decache | Stop], Any, int]


def stop_of(stream: int, times: int = 1) -> Stop:
    """Return the message that stops a stream, which is received once."""
    return Stop(stream)


class Told(Protocol):
    """The host of a session."""

    def on_released(self) -> object:
        """Tell the peer soon; called at any time, in any thread."""


class PendingReleases:
    """The collected references of one connection that the peer has not been told of.

    Finalizers add to it. They may interrupt any code, in any thread. So it is a list, and each
    operation on it is one step of the interpreter.

    Args:
        host: its ``on_released`` is called after each addition.

    Attributes:
        notes: the entries: the command to send, the id, the number of receptions.
    """

    __slots__ = ("_host", "notes")

    def __init__(self, host: Told):
        self._host: Told | None = host
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

    def stream(self, number: int) -> None:
        """Add a stream that is not read any more."""
        self._note((stop_of, number, 1))

    def put_back(
        self, message: Callable[..., Decref | Decache | Stop], object_id: ObjectId, count: int
    ) -> None:
        """Add again the part of a removed entry that the peer was not told of."""
        self.notes.append((message, object_id, count))

    def close(self) -> None:
        """Remove all entries and ignore further ones, since the connection is gone."""
        self._host = None
        self.notes.clear()

    def _note(self, note: Release) -> None:
        host = self._host
        if host is not None:
            self.notes.append(note)
            host.on_released()
