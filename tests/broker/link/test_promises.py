"""Calls of a link on the results of its calls, and recipes, before these have come."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from support.linked import A, B, Office, TypedOffice, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.testing.clock import virtual_clock

DIALECTS = ["msgpack/1", "pb"]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


class Pub(Office):
    """An office with more rooms.

    Attributes:
        met: the names of rooms that came as arguments.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.met: list[str] = []

    def remote_pair(self, *names: str) -> Any:
        """Return rooms by their places, and some other values."""
        return [*(self.remote_room(name) for name in names), "no room"]

    async def remote_slow_room(self, name: str) -> Any:
        """Return a room when the gate is open."""
        self.waits += 1
        await self.gate.wait()
        return self.remote_room(name)

    def remote_meet(self, *rooms: Any) -> list[str]:
        """Note rooms."""
        self.met += [room.name for room in rooms]
        return [room.name for room in rooms]

    def remote_back(self, item: Any) -> Any:
        """Return an object of the client, or a room."""
        return item


class Ear(broker.Referenceable):
    """An object of the client."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def remote_hear(self, text: str) -> str:
        """Note a text."""
        self.heard.append(text)
        return text


async def seconds(clock: Any, call: Any) -> float:
    """Return how long a call takes."""
    began: float = clock.elapsed
    await call
    return float(clock.elapsed - began)


@pytest.mark.parametrize(("dialect", "turns_taken"), [("msgpack/1", 1), ("pb", 3)])
async def test_a_chain(net: MemoryNet, dialect: str, turns_taken: int) -> None:
    """A chain of calls takes one round trip; in PB's dialects one for each call."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    net.delay = 1.0
    with virtual_clock() as clock:
        async with linked(policy=policy) as link:
            chain = (
                link.root.callRemote("room", "a").callRemote("inner", "b").callRemote("say", "c")
            )
            assert await seconds(clock, chain) == pytest.approx(2.0 * turns_taken, abs=0.01)
            assert await chain == "a/b: c"
            typed = link.root.of(TypedOffice).room("d").inner("e").say("f")
            assert await seconds(clock, typed) == pytest.approx(2.0 * turns_taken, abs=0.01)
            assert await typed == "d/e: f"


@pytest.mark.parametrize(("dialect", "turns_taken"), [("msgpack/1", 1), ("pb", 2)])
async def test_elements_and_arguments(net: MemoryNet, dialect: str, turns_taken: int) -> None:
    """An element of a result, and a result as an argument, are used before they have come."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    net.delay = 1.0
    with virtual_clock() as clock:
        async with linked(policy=policy) as link:
            rooms = link.root.callRemote("pair", "a", "b")
            said = rooms[1].callRemote("say", "x")
            recipe = link.root.recipe("room", "r")
            met = link.root.callRemote("meet", rooms[0], recipe)
            behind = link.root.callRemote("echo", 1)
            assert await seconds(clock, said) == pytest.approx(2.0 * turns_taken, abs=0.01)
            assert clock.elapsed < 10
            assert await said == "b: x"
            assert await met == ["a", "r"]
            assert await behind == 1
            assert office.met == ["a", "r"]
            with pytest.raises(TypeError, match="one step"):
                rooms[0][1]
            wrong = link.root.callRemote("pair", "a")
            calls = [wrong[each].callRemote("say", "y") for each in (1, 7, "a")]
            for call in calls:
                with pytest.raises((broker.BrokenPromise, TypeError, IndexError)):
                    await call


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_order(net: MemoryNet, dialect: str) -> None:
    """Calls through a promise, and then through the reference it became, start in their order."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    net.delay = 0.01
    with virtual_clock():
        async with linked(policy=policy) as link:
            room = link.root.callRemote("room", "x")
            calls = [room.callRemote("say", str(number)) for number in range(100)]
            room.callRemote("say", "one way", pbanswer=False)
            reference = await room
            calls += [reference.callRemote("say", str(number)) for number in range(100, 120)]
            calls += [room.callRemote("say", str(number)) for number in range(120, 140)]
            await asyncio.gather(*calls)
            expected = [*map(str, range(100)), "one way", *map(str, range(100, 140))]
            assert office.log == ["room x", *(f"x: {each}" for each in expected)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_home(net: MemoryNet, dialect: str) -> None:
    """A result that is an object of this end is called here, in order."""
    office, ear, policy = Pub(), Ear(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    net.delay = 0.01
    with virtual_clock():
        async with linked(policy=policy) as link:
            home = link.root.callRemote("back", ear)
            calls = [home.callRemote("hear", str(number)) for number in range(5)]
            assert await home is ear
            calls += [home.callRemote("hear", str(number)) for number in range(5, 10)]
            assert await asyncio.gather(*calls) == list(map(str, range(10)))
            assert ear.heard == list(map(str, range(10)))
            recipe = link.root.recipe("back", ear)
            for text in ("a", "b"):
                assert await recipe.callRemote("hear", text) == text


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_chain_waits_for_a_connection(net: MemoryNet, dialect: str) -> None:
    """All of it is made on the next connection, in order."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    with virtual_clock():
        link = linked(policy=policy)
        room = link.root.callRemote("room", "a")
        inner = room.callRemote("inner", "b")
        calls = [
            inner.callRemote("say", "1"),
            room.callRemote("say", "2"),
            inner.callRemote("say", "3"),
        ]
        element = link.root.callRemote("pair", "e")[0].callRemote("say", "4")
        deep: Any = link.root.callRemote("room", "0")
        for _ in range(300):
            deep = deep.callRemote("inner", "i")
        net.serve(A, office, policy)
        async with link:
            assert await asyncio.gather(*calls) == ["a/b: 1", "a: 2", "a/b: 3"]
            assert await element == "e: 4"
            assert await deep.callRemote("say", "x") == f"0{'/i' * 300}: x"


async def test_a_chain_that_was_not_sent(net: MemoryNet) -> None:
    """It is repeated as a whole, in order; what may have run is not."""
    office = Pub()
    net.serve(A, office)
    with virtual_clock():
        async with linked() as link:
            assert link.connection is not None
            link.connection.broker.port.abortConnection()
            chains = [
                link.root.callRemote("room", str(number)).callRemote("say", "x")
                for number in range(20)
            ]
            assert await asyncio.gather(*chains) == [f"{number}: x" for number in range(20)]
            made = [line for line in office.log if line.startswith("room")]
            assert made == [f"room {number}" for number in range(20)]
            assert len(office.log) == 40
            office.log.clear()
            running = link.root.callRemote("slow_room", "a")
            call, inner = running.callRemote("say", "b"), running.callRemote("inner", "c")
            deep = inner.callRemote("say", "d")
            while not office.waits:
                await asyncio.sleep(0)
            await restart(net, office)
            for each in (running, call, inner, deep):
                with pytest.raises(broker.PBConnectionLost) as caught:
                    await each
                assert caught.value.may_have_run
            assert office.log == []


async def test_a_server_that_drains(net: MemoryNet) -> None:
    """Chains go to the other server, also those that depend on a recipe; none is refused."""
    offices = {each: Pub(each) for each in (A, B)}
    servers = {each: net.serve(each, offices[each]) for each in (A, B)}
    with virtual_clock():
        async with linked((A, B)) as link:
            here = await link.root.callRemote("name")
            recipe = link.root.recipe("room", "r")
            assert await recipe.callRemote("say", "x") == "r: x"
            running = link.root.callRemote("slow_room", "s")
            waits = [running.callRemote("say", str(number)) for number in range(3)]
            await turns()
            closing = asyncio.create_task(servers[here].close(drain=600))
            for number in range(200):
                chain = link.root.callRemote("room", "a").callRemote("inner", "b")
                assert await chain.callRemote("say", str(number)) == f"a/b: {number}"
                assert await recipe.callRemote("inner", "c").callRemote("say", "y") == "r/c: y"
                await asyncio.sleep(0)
                if number == 100:
                    offices[here].gate.set()
            assert await asyncio.gather(*waits) == [f"s: {number}" for number in range(3)]
            await closing
            assert offices[B if here == A else A].log


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_failures(net: MemoryNet, dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """What depends on a call fails with its failure, which counts as seen then."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    office.is_closed_to_rooms = True
    net.serve(A, office, policy)
    async with linked(policy=policy) as link:
        room = link.root.callRemote("room", "a")
        calls = [room.callRemote("say", "b"), room.callRemote("inner", "c").callRemote("say", "d")]
        del room
        for call in calls:
            with pytest.raises(broker.Error, match="no rooms today"):
                await call
        del call, calls
        value = link.root.callRemote("echo", 3)
        with pytest.raises((broker.BrokenPromise, TypeError), match="'echo' returned"):
            await value.callRemote("say", "x")
        assert await value == 3
        with pytest.raises(TypeError, match="'echo' returned"):
            await value.callRemote("say", "x")
    gc.collect()
    told = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each for each in told if "no rooms" not in each] == []


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_cancellation(net: MemoryNet, dialect: str) -> None:
    """Cancelling a promise cancels what depends on it; the last dependent cancels the promise."""
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    async with linked(policy=policy) as link:
        running = link.root.callRemote("slow_room", "a")
        calls = [running.callRemote("say", "x"), running.callRemote("inner", "b")]
        await turns()
        running.cancel()
        for each in (running, *calls):
            with pytest.raises(broker.defer.CancelledError):
                await each
        running = link.root.callRemote("slow_room", "a")
        calls = [running.callRemote("say", "x"), running.callRemote("inner", "b")]
        await turns()
        calls[0].cancel()
        assert not running.called
        calls[1].cancel()
        assert running.called
        for each in (running, *calls):
            with pytest.raises(broker.defer.CancelledError):
                await each
        await link.root.callRemote("echo", "end")
        office.gate.set()
        await link.root.callRemote("echo", "end")
    # PB's dialects cannot tell the peer to cancel.
    ran = ["room a"] * 2 if dialect == "pb" else []
    assert office.log == ["echo end", *ran, "echo end"]
    unconnected = linked()
    room = unconnected.root.callRemote("room", "a")
    call = room.callRemote("say", "x")
    room.cancel()
    for each in (room, call):
        with pytest.raises(broker.defer.CancelledError):
            await each


async def test_another_link(net: MemoryNet) -> None:
    """A promise of another link is no argument."""
    net.serve(A, Pub())
    async with linked() as link, linked() as other:
        room = other.root.callRemote("room", "x")
        with pytest.raises(broker.ConfigError, match="another link"):
            link.root.callRemote("meet", room)
        with pytest.raises(broker.ConfigError, match="a reference of one connection"):
            link.root.recipe("room", link.root.callRemote("room", "x"))
        assert link.connection is not None
        with pytest.raises(broker.CannotJelly, match="by calls of its link only"):
            await link.connection.root.callRemote("meet", other.root.callRemote("room", "y"))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_recipes_take_one_round_trip(net: MemoryNet, dialect: str) -> None:
    """A hundred recipes, also of recipes, and calls on them, take one round trip together.

    A peer takes 16 calls that wait for promises before it has told its limit.
    """
    office, policy = Pub(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    link = linked(policy=policy)
    rooms = [link.root.recipe("room", str(number)) for number in range(92)]
    inner = [room.recipe("inner", "i") for room in rooms[:8]]
    steps = 2.0 if dialect == "msgpack/1" else 4.0
    with virtual_clock() as clock:
        net.delay = 1.0
        async with link:
            for took in (steps + (dialect == "pb") * 2.0, 2.0):
                calls = [each.callRemote("say", "x") for each in (rooms[90], *inner[-7:])]
                assert await seconds(clock, asyncio.gather(*calls)) == pytest.approx(took, abs=0.01)
            assert len([line for line in office.log if ":" not in line]) == 100
