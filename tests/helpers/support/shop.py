"""A server for programs without async: what its tests call, at a real address."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import broker
from broker import blocking

__all__ = ["DIALECTS", "Basket", "Ear", "Office", "Shop", "TicketOffice", "policy_of", "shop"]

DIALECTS = ["msgpack/1", "pb"]


@broker.register(name="test.shop.Basket")
@dataclasses.dataclass
class Basket(broker.Copyable, broker.RemoteCopy):
    """A copy with a reference in it."""

    owner: Any
    items: list[Any]


class Ear(Protocol):
    """A callback."""

    def heard(self, text: str) -> None:
        """One way."""


class Room(Protocol):
    """A reference."""

    async def say(self, text: str) -> int:
        """A call."""
        ...


class TicketOffice(Protocol):
    """A contract."""

    async def reserve(self, seats: int) -> list[int]:
        """A call."""
        ...

    def room(self, name: str) -> Room:
        """A reference that can be used at once."""
        ...

    def prices(self, count: int) -> AsyncIterator[int]:
        """A stream."""
        ...

    async def is_this(self, office: Ear) -> bool:
        """A call that takes an object."""
        ...


class _Room:
    def __init__(self, name: str):
        self.name = name

    async def say(self, text: str) -> int:
        return len(self.name + text)


class Office:
    """Has the contract."""

    async def reserve(self, seats: int) -> list[int]:
        """Return the seats."""
        return list(range(seats))

    def room(self, name: str) -> _Room:
        """Return a room."""
        return _Room(name)

    async def is_this(self, office: Any) -> bool:
        """Return whether it is this one."""
        return office is self

    async def prices(self, count: int) -> AsyncIterator[int]:
        """Yield numbers."""
        for number in range(count):
            yield number


class Shop(broker.Root):
    """What is called.

    Attributes:
        events: what has happened, such as "cancelled".
        heard: the arguments of one-way calls.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.heard: list[Any] = []
        self.changed = threading.Condition()
        self.kept: list[Any] = []
        self.office = Office()

    def note(self, event: str) -> None:
        """Note an event."""
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def until(self, event: str) -> None:
        """Wait for an event, in any thread but the loop's."""
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.events, 20)

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_hear(self, value: Any) -> None:
        """Note it."""
        self.heard.append(value)
        self.note("heard")

    def remote_fail(self, text: str) -> None:
        """Raise."""
        raise broker.Error(text)

    async def remote_slow(self) -> None:
        """Take a minute, unless cancelled."""
        self.note("began")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.note("cancelled")
            raise

    def remote_me(self) -> Any:
        """Return references in all that can have one."""
        return [self, (self, {"a": self}), {self}, Basket(self, [self]), frozenset({self})]

    async def remote_rows(self, count: int, fault: str = "") -> AsyncIterator[Any]:
        """Yield numbers, then an error or the end."""
        try:
            for number in range(count):
                yield number
            if fault:
                # So that the items before the error are sent before it in PB's dialects, too.
                await asyncio.sleep(0)
                raise broker.Error(fault)
        finally:
            self.note("closed")

    async def remote_selves(self) -> AsyncIterator[Any]:
        """Yield references."""
        yield self
        yield [self]

    async def remote_endless(self) -> AsyncIterator[int]:
        """Yield one number, and then wait."""
        try:
            yield 1
            self.note("waits")
            await asyncio.sleep(60)
        finally:
            self.note("closed")

    async def remote_call_back(self, there: Any, name: str, *args: Any) -> Any:
        """Call the client, and return what it returns."""
        return await there.callRemote(name, *args)

    async def remote_call_often(self, there: Any, name: str, times: int) -> list[Any]:
        """Call the client, all calls at once."""
        return list(await asyncio.gather(*(there.callRemote(name, n) for n in range(times))))

    def remote_keep(self, there: Any) -> None:
        """Keep a reference to an object of the client."""
        self.kept.append(there)

    def remote_office(self) -> Any:
        """Return the office, by its contract."""
        return broker.servant(TicketOffice)(self.office)


def policy_of(dialect: str) -> broker.Policy:
    """Return the strict policy with one dialect."""
    return broker.STRICT.but(dialects=(dialect,))


@contextmanager
def shop(dialect: str = "msgpack/1") -> Iterator[tuple[Shop, blocking.Connection]]:
    """A shop and a connection to it, in one dialect."""
    policy = policy_of(dialect)
    here = Shop()
    with (
        blocking.serve(here, "pb://127.0.0.1:0", policy=policy, drain=0) as server,
        blocking.connect(server.addresses[0], policy=policy) as connection,
    ):
        assert connection.dialect == dialect
        yield here, connection
