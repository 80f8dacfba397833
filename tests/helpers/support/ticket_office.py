"""A contract of a ticket office, objects that fit it, and connections to them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import broker

DIALECTS = ("msgpack/1", "pb")


class Colour(enum.Enum):
    """The colour of a seat."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Seat:
    """A seat."""

    row: str
    number: int
    held: bool = False


class Listener(Protocol):
    """Hears what is said."""

    def heard(self, text: str) -> None:
        """Hear."""


class Room(Protocol):
    """A room."""

    async def say(self, text: str) -> int:
        """Say something; return how much was said."""


class TicketOffice(Protocol):
    """Sells seats."""

    async def reserve(
        self, seats: int, *, row: str = "A", colour: Colour = Colour.RED
    ) -> list[Seat]:
        """Reserve seats next to each other."""

    def room(self, name: str, listener: Listener) -> Room:
        """Enter a room."""

    async def same(self, one: Listener, other: Listener) -> bool:
        """Return whether two listeners are the same."""

    async def sold(self, seat: Seat) -> str:
        """Return what was sold."""

    async def wrong(self) -> int:
        """Return text."""


class TheRoom:
    """A room that tells its listener."""

    def __init__(self, listener: Listener):
        self.listener = listener
        self.said: list[str] = []

    async def say(self, text: str) -> int:
        """Say something."""
        self.said.append(text)
        self.listener.heard(text.upper())
        return len(self.said)


class Office:
    """An object without a base class."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered: list[TheRoom] = []

    async def reserve(
        self, seats: int, *, row: str = "S", colour: Colour = Colour.RED
    ) -> list[Seat]:
        """Reserve."""
        assert isinstance(colour, Colour)
        self.rows.append(row)
        return [Seat(row, number) for number in range(seats)]

    def room(self, name: str, listener: Listener) -> Any:
        """Enter."""
        if name == "closed":
            raise broker.Error("the room is closed")
        room = TheRoom(listener)
        self.entered.append(room)
        return self._later(room)

    async def _later(self, room: TheRoom) -> Room:
        await self.gate.wait()
        return room

    async def same(self, one: Listener, other: Listener) -> bool:
        """Compare."""
        return one == other and hash(one) == hash(other)

    async def sold(self, seat: Seat) -> str:
        """Tell the row."""
        assert type(seat) is Seat
        return seat.row

    async def wrong(self) -> Any:
        """Break the contract."""
        return "not a number"


class Ear:
    """A listener without a base class."""

    def __init__(self) -> None:
        self.heard_texts: asyncio.Queue[str] = asyncio.Queue()

    def heard(self, text: str) -> None:
        """Hear."""
        self.heard_texts.put_nowait(text)


@asynccontextmanager
async def connected(
    target: Any, dialect: str = "msgpack/1", credentials: Any = None, mind: Any = None
) -> AsyncIterator[broker.Connection]:
    """Serve an object, and connect to it in a dialect."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(target, "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0], credentials, mind=mind, policy=policy) as connection,
    ):
        assert connection.dialect == dialect
        yield connection


def office_of(connection: broker.Connection) -> TicketOffice:
    """Return the typed root of a connection."""
    contract: Callable[..., TicketOffice] = TicketOffice
    return connection.root.of(contract)
