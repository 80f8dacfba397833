"""A house with rooms, whose calls on promises both ends can make, and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import broker
from broker import pb, testing
from broker.errors import Error

DIALECTS = ["msgpack/1", "pb"]
FACES = ["asyncio", "published"]


class Room(pb.Referenceable):
    """Notes what is said in it."""

    def __init__(self, name: str, gates: dict[str, asyncio.Event] | None = None):
        self.name = name
        self.said: list[Any] = []
        self.gates = {} if gates is None else gates

    def remote_say(self, text: Any) -> str:
        """Note it at once."""
        self.said.append(text)
        return f"{self.name}: {text}"

    async def remote_tell(self, text: Any) -> str:
        """Note it in a task, and answer later."""
        self.said.append(text)
        await asyncio.sleep(0)
        return f"{self.name}: {text}"

    def remote_next(self) -> Room:
        """Return another room."""
        return Room(self.name + "'", self.gates)

    def remote_same(self) -> Room:
        """Return this room."""
        return self

    def remote_take(self, other: Any) -> str:
        """Take an object."""
        self.said.append(("took", getattr(other, "name", other)))
        return f"{self.name} took {getattr(other, 'name', other)}"

    def remote_fail(self) -> None:
        """Raise an error."""
        raise Error(f"{self.name} fails")

    def remote_said(self) -> list[Any]:
        """Return what was said."""
        return self.said


class Unknown(pb.Copyable):
    """Is registered nowhere."""


class Guarded(pb.Referenceable):
    """Has conditions."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @broker.allow("nobody")
    def remote_secret(self) -> str:
        """Do what nobody may."""
        self.done.append("secret")
        return "secret"

    def hidden(self) -> str:
        """Have no prefix."""
        self.done.append("hidden")
        return "hidden"

    def remote_open(self) -> str:
        """Do what all may."""
        return "open"


class House(pb.Root):
    """Gives rooms; those that are asked for ``slowly`` when their gate is opened."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.rooms: dict[str, Room] = {}
        self.heard: list[Any] = []
        self.cancelled: list[str] = []
        self.guarded = Guarded()

    def open(self, name: str = "") -> None:
        """Let the calls return that wait for this."""
        self.gates.setdefault(name, asyncio.Event()).set()

    async def pass_gate(self, name: str) -> None:
        """Wait until it is open."""
        try:
            await self.gates.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    def remote_room(self, name: str) -> Room:
        """Return a room at once."""
        return self.rooms.setdefault(name, Room(name, self.gates))

    async def remote_slowly(self, name: str) -> Room:
        """Return a room later."""
        await self.pass_gate(name)
        return self.remote_room(name)

    async def remote_list(self, name: str) -> list[Any]:
        """Return a room among other values."""
        await self.pass_gate(name)
        return [1, self.remote_room(name), [self.remote_room(name)]]

    async def remote_tuple(self, name: str) -> tuple[Any, ...]:
        """Return a room among other values."""
        await self.pass_gate(name)
        return "x", self.remote_room(name)

    async def remote_dict(self, name: str) -> dict[Any, Any]:
        """Return rooms by keys."""
        await self.pass_gate(name)
        return {"room": self.remote_room(name), 7: self.remote_room(name + "7"), "price": 5}

    async def remote_many(self, name: str, count: int) -> list[Any]:
        """Return so many rooms."""
        await self.pass_gate(name)
        return [self.remote_room(f"{name}{number}") for number in range(count)]

    async def remote_value(self, name: str, value: Any) -> Any:
        """Return a value later: that of the caller."""
        await self.pass_gate(name)
        return value

    def remote_back(self, value: Any) -> Any:
        """Return a value at once."""
        return value

    async def remote_pair(self, name: str, value: Any) -> list[Any]:
        """Return a value of the caller in a list."""
        await self.pass_gate(name)
        return [value, self.remote_room("here")]

    async def remote_fails(self, name: str) -> None:
        """Fail later."""
        await self.pass_gate(name)
        raise Error(f"no {name}")

    def remote_odd(self, value: Any) -> list[Any]:
        """Return a value, and an object that the caller does not know."""
        return [value, Unknown()]

    def remote_guarded(self) -> Guarded:
        """Return an object with conditions."""
        return self.guarded

    def remote_show(self, view: Any, room: Room) -> str:
        """Note the value of a cache."""
        self.heard.append(view)
        return room.name

    def remote_take(self, *others: Any) -> str:
        """Take objects."""
        names = [getattr(other, "name", other) for other in others]
        self.heard.append(names)
        return " ".join(map(str, names))

    def remote_hear(self, text: Any) -> None:
        """Note it."""
        self.heard.append(text)

    async def remote_count(self, stream: AsyncIterator[Any], room: Any) -> tuple[str, list[Any]]:
        """Read a stream that comes with an object."""
        return room.name, [item async for item in stream]


class Setting:
    """One pair, and what tests do with it."""

    def __init__(self, dialect: str, face: str) -> None:
        self.dialect = dialect
        self.is_pipelined = dialect == "msgpack/1"
        self.house = House()
        self.face = face
        self.pair: testing.Pair = None  # type: ignore[assignment]

    async def open(self, **policy: Any) -> Setting:
        """Connect."""
        rules = broker.STRICT.but(**policy) if self.face == "asyncio" else None
        made = testing.pair(self.house, dialect=self.dialect, face=self.face, policy=rules)
        self.pair = await made
        # Then the terms of the server have come.
        await self.root.callRemote("back", 0)
        return self

    @property
    def root(self) -> Any:
        """The house at the client."""
        return self.pair.client.root

    async def arrive(self) -> None:
        """Wait until everything sent has come."""
        await self.pair.settled()

    def flights(self) -> int:
        """The number of times that the client has sent something after an answer of the server."""
        lines = str(self.pair.recorder).splitlines()
        sides = [line.split(":", 1)[0] for line in lines if ": call" in line or ": answer" in line]
        count, before = 0, "server"
        for side in sides:
            count += side == "client" and before == "server"
            before = side
        return count

    @property
    def waiting(self) -> int:
        """The number of calls that wait at the server for a promise."""
        used = self.pair.server.broker.session.incoming.used_promises
        return 0 if used is None else used.size

    async def finish(self) -> None:
        """Close the pair; nothing may remain, neither before nor after that."""
        if not self.pair.client.is_closed:
            await self.arrive()
            assert self.pair.leaks() == []
            left_at_callers(self.pair)
        await self.pair.close()
        left_at_callers(self.pair)


def left_at_callers(pair: testing.Pair) -> None:
    """Nothing remains of promises at either end."""
    for end in (pair.client, pair.server):
        outgoing = end.broker.session.outgoing
        assert not outgoing.followed
        assert not outgoing.promised
        promises = end.broker.calls._promises
        if promises is not None:
            assert (promises.there, promises.here) == (0, 0)
            assert not promises.held
            assert not promises.sent
            assert not promises.stalled
        incoming = end.broker.session.incoming.used_promises
        if incoming is not None:
            assert (incoming.size, incoming._counted) == (0, 0)
            assert not incoming.held
            assert not incoming._waiting
            assert not incoming._missing


async def failure_of(deferred: Any, kind: type[BaseException], text: str = "") -> BaseException:
    """Return the error of a call."""
    with pytest.raises(kind) as caught:
        await deferred
    assert text in str(caught.value)
    return caught.value
