"""The record of a call: what its method knows of it, in each kind of method and both dialects."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS

import broker
from broker import pb, reactor
from broker.core.policy import PUBLISHED, STRICT, Policy

POLICIES = {"strict": STRICT, "published": PUBLISHED}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
each_policy = pytest.mark.parametrize("policy", POLICIES)


def facts() -> tuple[Any, ...]:
    """Return what the current call says of itself, as values that can be sent."""
    call = broker.current_call()
    kind = None if call.target is None else call.target.__name__
    return call.name, kind, call.is_incoming, call.wants_answer, dict(call.metadata)


class Office(broker.Root):
    """Tells of its calls."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.came = asyncio.Event()
        self.tasks: list[asyncio.Task[Any]] = []

    def remote_plain(self, *args: object) -> Any:
        """Tell of a plain method."""
        self.told.append(facts())
        self.came.set()
        return facts()

    async def remote_async(self, *args: object) -> Any:
        """Tell of an async method, after a wait and in a task of its own."""
        self.told.append(facts())
        self.came.set()
        before = facts()
        await asyncio.sleep(0)
        return (before, facts(), await asyncio.create_task(_later()))

    def remote_thread(self) -> Any:
        """Tell of the call in a thread that runs meanwhile."""
        told: list[Any] = []
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: told.append(context.run(facts)))
        thread.start()
        thread.join()
        return told[0]

    def remote_later(self) -> None:
        """Tell of the call in a task that goes on after this method."""
        self.tasks.append(asyncio.ensure_future(_later()))

    async def remote_left(self) -> float | None:
        """Return the seconds left."""
        return broker.current_call().deadline

    def remote_left_plain(self) -> float | None:
        """Return the seconds left."""
        return broker.current_call().deadline


async def _later() -> Any:
    await asyncio.sleep(0)
    return facts()


@asynccontextmanager
async def connected(
    root: Any, dialect: str, policy: Policy = STRICT, **kw: Any
) -> AsyncIterator[broker.Connection]:
    """Return a connection to a new server, which allows the dialect only."""
    own = policy.but(dialects=(dialect,))
    async with (
        broker.serve(root, "pb://127.0.0.1:0", policy=own, **kw) as server,
        broker.connect(server.addresses[0], policy=own) as connection,
    ):
        yield connection


class Quiet(broker.Observer):
    """Overrides nothing: the calls take the general path."""


@each_policy
@each_dialect
@pytest.mark.parametrize("observers", [(), (Quiet(),)], ids=["alone", "observed"])
@pytest.mark.parametrize("args", [(), (b"bytes",), ({1, 2},)], ids=["none", "bytes", "graph"])
async def test_each_kind_of_method(
    dialect: str, policy: str, observers: tuple[Any, ...], args: tuple[Any, ...]
) -> None:
    """Plain and async methods know the name, the class and whether an answer is wanted."""
    office = Office()
    async with connected(office, dialect, POLICIES[policy], observers=observers) as connection:
        root = connection.root
        for tenant in ({}, {"tenant": "a"}):
            sent = tenant if dialect == "msgpack/1" else {}
            with broker.metadata(**tenant):
                one = ("plain", "Office", True, True, sent)
                assert await root.callRemote("plain", *args) == one
                three = await root.callRemote("async", *args)
                assert tuple(three) == (("async", "Office", True, True, sent),) * 3
                for name in ("plain", "async"):
                    office.told.clear()
                    office.came.clear()
                    root.send(name, *args)
                    await office.came.wait()
                    assert office.told == [(name, "Office", True, False, sent)]


@each_dialect
async def test_calls_side_by_side(dialect: str) -> None:
    """Each knows itself, whatever runs beside it."""
    async with connected(Office(), dialect) as connection:
        calls = []
        for number in range(20):
            with broker.metadata(number=str(number)):
                calls.append(connection.root.callRemote("async", number))
            calls.append(connection.root.callRemote("plain"))
        outcomes = [await call for call in calls]
    if dialect == "msgpack/1":
        numbers = [{each[4].get("number") for each in three} for three in outcomes[::2]]
        assert numbers == [{str(number)} for number in range(20)]
    assert {each[0] for each in outcomes[1::2]} == {"plain"}


@each_dialect
async def test_a_task_that_a_plain_method_has_started(dialect: str) -> None:
    """It knows its call if that had metadata; else it says nothing, and nothing wrong."""
    office = Office()
    async with connected(office, dialect) as connection:
        await connection.root.callRemote("later")
        with broker.metadata(tenant="a"):
            await connection.root.callRemote("later")
        await connection.root.callRemote("plain")
        first, second = [await task for task in office.tasks]
    assert first == ("", None, True, True, {})
    named = ("later", "Office", True, True, {"tenant": "a"})
    assert second == (named if dialect == "msgpack/1" else first)


@each_dialect
async def test_a_thread_that_a_plain_method_has_started(dialect: str) -> None:
    """It knows its call if that had metadata; else it says nothing of what runs beside it."""
    async with connected(Office(), dialect) as connection:
        for _ in range(2):
            assert await connection.root.callRemote("thread") == ("", None, True, True, {})
        if dialect == "msgpack/1":
            with broker.metadata(tenant="a"):
                expected = ("thread", "Office", True, True, {"tenant": "a"})
                assert await connection.root.callRemote("thread") == expected


@pytest.mark.parametrize("name", ["left", "left_plain"])
async def test_the_deadline(name: str) -> None:
    """It is the seconds left; None without one, also where it does not hold for further calls."""
    for inherits in (True, False):
        policy = STRICT.but(inherit_deadline=inherits)
        async with connected(Office(), "msgpack/1", policy) as connection:
            assert await connection.root.callRemote(name) is None
            async with broker.timeout(20):
                left = await connection.root.callRemote(name)
            assert 15 < left <= 20.001


class Priced(Protocol):
    """A contract."""

    async def price(self, number: int) -> str:
        """Return the contract of the call."""
        ...

    async def at_once(self, number: int) -> str:
        """Do the same in a method that is not async."""
        ...


class Prices:
    """Fits it."""

    async def price(self, number: int) -> str:
        """Return the contract of the call."""
        return str(broker.current_call().contract)

    def at_once(self, number: int) -> str:
        """Do the same."""
        return str(broker.current_call().contract)


@each_dialect
async def test_the_contract(dialect: str) -> None:
    """A method of a contract knows its name, another one has none."""
    async with connected(broker.servant(Priced)(Prices()), dialect) as connection:
        typed = connection.root.of(Priced)
        name = f"{Priced.__module__}.Priced"
        assert await typed.price(1) == await typed.at_once(1) == name
    async with connected(Office(), dialect) as connection:
        await connection.root.callRemote("plain")


class Relay(broker.Root):
    """Asks the next server, and tells its own seconds and those of the servers behind it."""

    def __init__(self, behind: Any = None) -> None:
        self.behind = behind

    async def remote_ask(self) -> list[Any]:
        """Return the seconds of each server."""
        own = broker.current_call().deadline
        await asyncio.sleep(0.01)
        return [own] if self.behind is None else [own, *await self.behind.callRemote("ask")]

    async def remote_wait(self, log: Any = None) -> None:
        """Wait for ever."""
        if self.behind is not None:
            await self.behind.callRemote("wait")
        await asyncio.Event().wait()

    async def remote_items(self) -> AsyncIterator[Any]:
        """Yield before and after the deadline of the call; each asks the next server."""
        yield await self.behind.callRemote("ask")
        await asyncio.sleep(0.3)
        yield await self.behind.callRemote("ask")


@asynccontextmanager
async def three_in_a_row(policy: Policy) -> AsyncIterator[broker.Connection]:
    """Return a connection to the first of three servers, each the client of the next."""
    async with (
        broker.serve(Relay(), "pb://127.0.0.1:0", policy=policy) as third,
        broker.connect(third.addresses[0]) as to_third,
        broker.serve(Relay(to_third.root), "pb://127.0.0.1:0", policy=policy) as second,
        broker.connect(second.addresses[0]) as to_second,
        broker.serve(Relay(to_second.root), "pb://127.0.0.1:0", policy=policy) as first,
        broker.connect(first.addresses[0]) as connection,
    ):
        yield connection


async def test_three_servers_in_a_row() -> None:
    """Each has less time than the one before; all end at the deadline of the first caller."""
    async with three_in_a_row(STRICT) as connection:
        async with broker.timeout(20):
            lefts = await connection.root.callRemote("ask")
        assert 20.001 >= lefts[0] > lefts[1] > lefts[2] > 10
        with pytest.raises(broker.CallTimeout):
            async with broker.timeout(0.1):
                await connection.root.callRemote("wait")


async def test_three_that_do_not_inherit() -> None:
    """With inherit_deadline=False only the first server has a deadline."""
    policy = STRICT.but(inherit_deadline=False)
    async with three_in_a_row(policy) as connection, broker.timeout(20):
        left, *others = await connection.root.callRemote("ask")
    assert left > 10
    assert others == [None, None]


async def test_a_generator_is_not_bound() -> None:
    """Its calls have the deadline of the call that opened it while that lasts, and none later."""
    async with three_in_a_row(STRICT) as connection:
        async with broker.timeout(0.2):
            stream = await connection.root.callRemote("items")
        first, second = [item async for item in stream]
    assert all(0 < left <= 0.2 for left in first)
    assert second == [None, None]


@pytest.mark.parametrize("observers", [(), (Quiet(),)], ids=["alone", "observed"])
async def test_the_published_face(observers: tuple[Any, ...]) -> None:
    """Methods of a PBServerFactory know their calls, which a PBClientFactory makes."""
    office = Office()
    factory = pb.PBServerFactory(office, observers=observers)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    client = pb.PBClientFactory(observers=observers)
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    try:
        root = await client.getRootObject()
        with broker.metadata(tenant="a"):
            expected = ("plain", "Office", True, True, {"tenant": "a"})
            assert await root.callRemote("plain") == expected
        assert await root.callRemote("plain") == (*expected[:4], {})
        office.came.clear()
        root.callRemote("async", pbanswer=False)
        await office.came.wait()
        assert office.told[-1] == ("async", "Office", True, False, {})
    finally:
        client.disconnect()
        await port.stopListening()
