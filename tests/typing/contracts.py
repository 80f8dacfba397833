"""A user's program with contracts; a type checker finds nothing to say, with no plugin."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import broker

T = TypeVar("T")


@dataclass
class Seat:
    """A seat."""

    row: str
    number: int


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


class Listener(Protocol):
    """A callback."""

    def heard(self, text: str) -> None:
        """One way."""


class Room(Protocol):
    """A reference."""

    async def say(self, text: str) -> int:
        """A call."""
        ...


class TicketOffice(Protocol):
    """The contract."""

    async def reserve(self, seats: int, *, row: str = "A") -> list[Seat]:
        """A call."""
        ...

    def room(self, name: str, listener: Listener) -> Room:
        """A reference that is usable at once."""
        ...


class Store(Protocol[T]):
    """A generic contract."""

    async def put(self, value: T) -> T:
        """Store."""
        ...


class Ear:
    """Any object with the methods of a contract."""

    def heard(self, text: str) -> None:
        """Hear."""


class TheRoom:
    """A room."""

    async def say(self, text: str) -> int:
        """Say."""
        return len(text)


class Office:
    """A server's object without a base class."""

    async def reserve(self, seats: int, *, row: str = "A") -> list[Seat]:
        """Reserve."""
        return [Seat(row, number) for number in range(seats)]

    def room(self, name: str, listener: Listener) -> Room:
        """Enter."""
        listener.heard(name)
        return TheRoom()


@broker.implements(TicketOffice)
class User(broker.Avatar):
    """The published style."""

    async def perspective_reserve(self, seats: int, *, row: str = "A") -> list[Seat]:
        """Reserve."""
        return []

    def perspective_room(self, name: str, listener: Listener) -> Room:
        """Enter."""
        return TheRoom()


@broker.contract
class Checked(Protocol):
    """Is checked at once."""

    async def count(self) -> int:
        """Count."""
        ...


@broker.contract(name="tickets.Named")
class Named(Protocol):
    """Has a name for peers."""

    async def count(self) -> int:
        """Count."""
        ...


async def client(connection: broker.Connection) -> int:
    """All forms of calls."""
    office = connection.avatar.of(TicketOffice)
    seats: list[Seat] = await office.reserve(3, row="B")
    room: Room = office.room("stalls", Ear())
    said: int = await room.say("hi")
    room = await broker.resolved(room)
    reference: broker.RemoteReference = broker.reference_of(room)
    stored: int = await reference.of(Store[int]).put(3)
    counted: int = await reference.of(Checked).count() + await reference.of(Named).count()
    description = await broker.describe(reference)
    names: list[str] = [method.name for method in description.methods]
    return said + stored + counted + len(seats) + len(names) + len(description.as_python())


async def server() -> None:
    """A servant is served as a root."""
    make: Callable[[TicketOffice], broker.Referenceable] = broker.servant(TicketOffice)
    async with broker.serve(broker.servant(TicketOffice)(Office()), "pb://127.0.0.1:0"):
        make(Office())
    print(broker.interface_of(TicketOffice))
