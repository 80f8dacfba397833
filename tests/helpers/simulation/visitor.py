"""What the clients of the simulated census have at their server, and what is to be shown of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import broker
from broker.connection.connection import Connection
from broker.testing.network import Wire

__all__ = ["Desk", "Listener", "Visitor"]


class Thing(broker.Referenceable):
    """What a client holds."""


class Other(broker.Referenceable):
    """What a client holds, of another class."""


class Board(broker.Cacheable):
    """What a client follows."""

    def getTypeToCopy(self) -> str:
        """Return the tag."""
        return "census.Board"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, int]:
        """Return the state."""
        return {"number": 1}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget nothing."""


@broker.register("census.Board")
class Followed(broker.RemoteCache):
    """The client's part of it."""

    number: int


class Listener(broker.Referenceable):
    """What a client subscribes."""


class Desk(broker.Avatar):
    """Serves one client."""

    def __init__(self, subscribers: broker.Subscribers):
        self._subscribers = subscribers
        self._listeners: list[Any] = []

    def perspective_things(self, count: int, is_other: bool) -> list[broker.Referenceable]:
        """Return new objects."""
        return [Other() if is_other else Thing() for _ in range(count)]

    def perspective_board(self) -> Board:
        """Return a new one."""
        return Board()

    def perspective_subscribe(self, listener: Any) -> None:
        """Subscribe it."""
        self._listeners.append(listener)
        self._subscribers.add(listener)

    def perspective_unsubscribe(self) -> None:
        """Let the oldest go."""
        self._subscribers.discard(self._listeners.pop(0))

    async def perspective_wait(self) -> None:
        """Wait until it is cancelled."""
        await asyncio.Event().wait()

    async def perspective_count(self) -> AsyncIterator[int]:
        """Yield numbers."""
        for number in range(1_000_000):
            yield number


class Visitor:
    """A client, and what it has: the model of one connection.

    Attributes:
        number: of its connection at the server.
        user: its name; None for a guest.
        connection, wire: its own.
        things, others, boards: what it holds.
        calls, streams: what it waits for, and reads.
        listeners: how many it has subscribed.
        made: the calls that it has made, with those of the login.
        given: how many objects it was ever given, with the avatar.
    """

    def __init__(self, number: int, user: str | None):
        self.number = number
        self.user = user
        self.connection: Connection
        self.wire: Wire
        self.things: list[Any] = []
        self.others: list[Any] = []
        self.boards: list[Any] = []
        self.calls: list[Any] = []
        self.streams: list[Any] = []
        self.listeners = 0
        self.made = 0
        self.given = 1

    def call(self, name: str, *args: object) -> Any:
        """Call the server."""
        self.made += 1
        return self.connection.avatar.callRemote(name, *args)

    def drop(self) -> None:
        """Let go of all: the connection has ended."""
        for each in (self.things, self.others, self.boards, self.calls, self.streams):
            each.clear()

    def expected(self) -> dict[str, Any]:
        """Return what the inspector must show at rest."""
        exported = Counter(Desk=1, Thing=len(self.things), Other=len(self.others))
        listeners = self.listeners
        return {
            "user": self.user,
            "state": "flowing",
            "exports": exported.total(),
            "exported_types": {name: count for name, count in exported.items() if count},
            "imported_types": {"RemoteReference": listeners} if listeners else {},
            "cached_out_types": {"Board": len(self.boards)} if self.boards else {},
            "cached_in_types": {},
            "oldest_calls": ["wait"] * len(self.calls),
            "running": len(self.calls),
            "stream_list": [(True, "count")] * len(self.streams),
            "streams": len(self.streams),
            "subscriptions": listeners,
            "calls_received": self.made,
            "calls_made": 0,
            "unsent": 0,
        }
