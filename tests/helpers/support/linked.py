"""What the tests of links serve, and the links that they make."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Protocol

import broker
from broker.link import Link
from support.memory_net import POLICY, MemoryNet

A, B = "pb://a:1", "pb://b:2"


class Room(broker.Referenceable):
    """What recipes make."""

    def __init__(self, name: str, office: Office):
        self.name, self.office = name, office

    def remote_say(self, text: str) -> str:
        """Note a text, and return it with the name."""
        self.office.log.append(f"{self.name}: {text}")
        return f"{self.name}: {text}"

    def remote_inner(self, name: str) -> Room:
        """Return a room in this one."""
        self.office.log.append(f"inner {name}")
        return Room(f"{self.name}/{name}", self.office)


class TypedRoom(Protocol):
    """The contract of a room."""

    async def say(self, text: str) -> str:
        """Note a text."""

    def inner(self, name: str) -> TypedRoom:
        """Return a room in this one."""


class TypedOffice(Protocol):
    """The contract of an office."""

    def room(self, name: str) -> TypedRoom:
        """Return a room."""


class Office(broker.Root):
    """A server's root.

    Attributes:
        log: what was called, in order.
        ran: how often each number was counted.
        gate: lets `remote_wait` return.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.log: list[str] = []
        self.ran: Counter[int] = Counter()
        self.gate = asyncio.Event()
        self.waits = 0
        self.is_closed_to_rooms = False
        self.heard: list[Any] = []

    def remote_name(self) -> str:
        """Return the name of the server."""
        return self.name

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        self.log.append(f"echo {value}")
        return value

    def remote_count(self, number: int) -> int:
        """Count that the call with this number has run."""
        self.ran[number] += 1
        return number

    def remote_room(self, name: str, *others: Any) -> Room:
        """Return a room."""
        self.log.append(f"room {name}")
        if self.is_closed_to_rooms:
            raise broker.Error("no rooms today")
        return Room(name, self)

    def remote_name_of(self, rooms: Any) -> Any:
        """Return the names of rooms, of which a client has references."""
        return [room.name for room in rooms] if isinstance(rooms, list) else rooms.name

    def remote_hear(self, ear: Any) -> None:
        """Keep an object of the client."""
        self.heard.append(ear)

    async def remote_wait(self) -> str:
        """Wait for the gate."""
        self.waits += 1
        await self.gate.wait()
        return self.name


def linked(address: Any = A, **settings: Any) -> Link:
    """A link to the server in memory."""
    return Link(address, **{"policy": POLICY, "patience": 1000.0, **settings})


async def restart(
    net: MemoryNet, office: Any, address: str = A, policy: broker.Policy = POLICY
) -> None:
    """Crash a server, let its clients see it, and serve anew."""
    net.crash(address)
    await turns()
    net.serve(address, office, policy)


async def turns(number: int = 50) -> None:
    """Let both ends work."""
    for _ in range(number):
        await asyncio.sleep(0)
