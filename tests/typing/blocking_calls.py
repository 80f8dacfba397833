"""A user's program without async; a type checker finds nothing to say, with no plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol, assert_type

import broker
import broker.blocking


class Room(Protocol):
    """A reference."""

    async def say(self, text: str) -> int:
        """A call."""
        ...


class TicketOffice(Protocol):
    """The contract."""

    async def reserve(self, seats: int) -> list[str]:
        """A call."""
        ...

    def room(self, name: str) -> Room:
        """A reference that can be used at once."""
        ...

    def prices(self, row: str) -> AsyncIterator[float]:
        """A stream."""
        ...


def program() -> None:
    """Use each name."""
    with broker.blocking.connect("pb://localhost", timeout=3.0) as connection:
        assert_type(connection, broker.blocking.Connection)
        office = connection.avatar.of(TicketOffice)
        assert_type(office, TicketOffice)
        assert_type(connection.run(office.reserve(3)), list[str])
        assert_type(connection.run(office.room("stalls").say("hello")), int)
        assert_type(connection.run(broker.resolved(office.room("stalls"))), Room)
        for price in connection.iterate(office.prices("A")):
            assert_type(price, float)
        prices: Iterator[float] = connection.iterate(office.prices("A"))
        print(next(prices))
        assert_type(connection.avatar, broker.blocking.Reference)
        answer: dict[str, int] = connection.avatar.callRemote("prices", row="A")
        for row in connection.avatar.callRemote("rows"):
            print(row)
        connection.avatar.send("hear", answer)
        assert_type(connection.avatar.reference, broker.RemoteReference)
        assert_type(connection.connection, broker.Connection)
        assert_type(connection.is_closed, bool)
        with broker.blocking.timeout(5.0):
            print(connection.root.callRemote("slow"))
        connection.serve_callbacks(in_thread=True)
        connection.serve_callbacks()
    with broker.blocking.serve(broker.Root(), "pb://127.0.0.1:0") as server:
        assert_type(server.addresses, tuple[str, ...])
        assert_type(server.connections, tuple[broker.blocking.Connection, ...])
        server.serve_forever(drain=1.0)
    broker.blocking.loop().call_soon_threadsafe(print, "in the loop")


def items(stream: broker.blocking.Stream[int], value: Any) -> int:
    """Read a stream."""
    with stream:
        return sum(stream) + len(list(value))
