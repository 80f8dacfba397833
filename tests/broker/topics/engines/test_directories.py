"""What every directory of names does: one suite for all, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from support.topics_worlds import World

from broker.topics.directory import Directory
from broker.topics.engines.nats_directory import NatsDirectory

pytestmark = pytest.mark.timeout(90)


@asynccontextmanager
async def directories(
    world: World, count: int = 2, seconds: float = 30.0
) -> AsyncIterator[list[Directory]]:
    """Make the directories of nodes that have joined, ``n0`` and so on."""
    engine: Any = world.engine()
    async with AsyncExitStack() as stack:
        made: list[Directory] = []
        for number in range(count):
            made.append(engine.directory())
            stack.push_async_callback(made[-1].close)
            await made[-1].join(f"n{number}", f"pbs://host{number}:1", seconds)
        yield made


async def again(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until a connection is there again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await ask()
            except Exception:
                await asyncio.sleep(0.05)


async def test_a_name_has_one_holder(world: World) -> None:
    """Who claims a name holds it, and every node finds it there; a second claim changes nothing."""
    async with directories(world) as (one, other):
        assert await other.find("a.b") is None
        held = await one.claim("a.b")
        assert (held.node, held.address) == ("n0", "pbs://host0:1")
        assert [await each.claim("a.b") for each in (other, one)] == [held, held]
        assert await other.find("a.b") == held
        assert await other.find("a") is None


async def test_release(world: World) -> None:
    """A released name is free; a release of another number changes nothing; numbers rise."""
    async with directories(world) as (one, other):
        held = await one.claim("a")
        await other.release("a", held.number - 1)
        assert await one.find("a") == held
        await one.release("a", held.number)
        assert await one.find("a") is None
        again = await other.claim("a")
        assert again.node == "n1" and again.number > held.number
        await one.release("a", held.number)
        assert await one.find("a") == again


async def test_leases_end(world: World) -> None:
    """A lease that is not renewed ends with all its names, and cannot be renewed; others hold."""
    async with directories(world, 2, 1.0) as (one, other):
        held = await one.claim("a")
        kept = await other.claim("b")
        while await one.find("a") is not None:
            assert await other.renew()
            await asyncio.sleep(0.05)
        assert not await one.renew()
        assert await one.find("b") == kept
        taken = await other.claim("a")
        assert taken.node == "n1" and taken.number > held.number
        await one.join("n2", "pbs://host2:1", 1.0)
        assert await one.claim("a") == taken


async def test_leaving(world: World) -> None:
    """The names of a node that leaves, or joins anew, are free at once."""
    async with directories(world) as (one, other):
        await one.claim("a")
        await one.leave()
        assert (await other.claim("a")).node == "n1"
        await other.join("n3", "pbs://host3:1", 30.0)
        assert await one.find("a") is None
        assert (await other.claim("a")).node == "n3"


async def test_claims_at_once(world: World) -> None:
    """Of many claims of a name at the same moment one wins, and all are told the same."""
    async with directories(world, 5) as members:
        for name in (f"r.{n}" for n in range(10)):
            found = await asyncio.gather(*(each.claim(name) for each in members))
            assert len(set(found)) == 1


async def test_a_lost_name_is_claimed_once(world: World) -> None:
    """Of many that claim the name of a dead node at the same moment one wins."""
    async with directories(world, 5) as (dead, *members):
        await dead.claim("a")
        await dead.leave()
        found = await asyncio.gather(*(each.claim("a") for each in members * 3))
        assert len(set(found)) == 1


async def test_a_restart(world: World) -> None:
    """Names, leases and numbers survive a restart of the server, and it is used again."""
    if not world.has_server:
        return
    async with directories(world) as (one, other):
        held = await one.claim("a")
        await asyncio.to_thread(world.kill)
        with pytest.raises(Exception):  # noqa: B017 - that of its client
            async with asyncio.timeout(10):
                await other.find("a")
        await asyncio.to_thread(world.start)
        assert await again(lambda: other.find("a")) == held
        assert await again(one.renew)
        assert (await other.claim("b")).number > held.number


async def test_names_of_the_dead_are_swept(world: World) -> None:
    """On NATS, names whose nodes have gone are removed, and those of live nodes stay."""
    if world.kind != "nats":
        return
    async with directories(world) as (one, other):
        assert isinstance(other, NatsDirectory)
        for number in range(5):
            await one.claim(f"a.{number}")
        kept = await other.claim("b")
        assert await other.sweep() == 0
        await one.leave()
        assert await other.sweep() == 5
        assert await other.sweep() == 0
        assert await other.find("b") == kept


async def test_leases_of_another_length(world: World) -> None:
    """On NATS all nodes have the length of lease that the first one asked for, and are told it."""
    if world.kind != "nats":
        return
    async with directories(world, 1, 7.0):
        engine: Any = world.engine()
        other = engine.directory()
        assert await other.join("x", "pbs://x:1", 3.0) == 7.0
        assert await other.join("y", "pbs://x:1", 3.0) == 7.0
        await other.close()
