"""What every engine of topics does: one suite for all, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.topics_worlds import World

import broker
from broker.topics.items import Joined, Left, Message, Reset

pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def nodes(
    world: World, *, history: broker.History | None = None, **options: Any
) -> AsyncIterator[tuple[broker.Topics, broker.Topics]]:
    """Make two nodes; of an engine of one process, one under two names."""
    async with broker.Topics(world.engine(history), **options) as one:
        if not world.has_server:
            yield one, one
            return
        async with broker.Topics(world.engine(history), **options) as other:
            yield one, other


async def take(source: Any, number: int) -> list[Any]:
    """Return the next items of a subscription."""
    return [await anext(source) for _ in range(number)]


def data_of(items: list[Message]) -> list[object]:
    """Return the data of messages."""
    return [item.data for item in items]


async def test_messages_reach_each_node(world: World) -> None:
    """A message reaches the subscribers of each node whose patterns match, in order, once."""
    async with nodes(world) as (one, other):
        here, there = one.messages("prices.*"), other.messages("prices.>")
        elsewhere = other.messages("chat.*")
        for number in range(50):
            one.publish("prices.A", {"n": number})
            one.publish("chat.lobby", number)
        assert data_of(await take(here, 50)) == [{"n": number} for number in range(50)]
        assert data_of(await take(there, 50)) == [{"n": number} for number in range(50)]
        assert data_of(await take(elsewhere, 50)) == list(range(50))


async def test_positions(world: World) -> None:
    """A position is that of the message as subscribers get it, and positions rise."""
    async with nodes(world) as (one, other):
        there = other.messages(">")
        first = await one.published("a", 1, by="ann")
        second = await other.published("b", None)
        assert await take(there, 2) == [
            Message("a", 1, first, "ann"),
            Message("b", None, second),
        ]
        assert first is not None and second is not None
        assert first.epoch == second.epoch and first.offset < second.offset


async def test_replay(world: World) -> None:
    """After a position, all that the pattern matches comes once, and goes on without a hole."""
    async with nodes(world) as (one, other):
        positions = [await one.published(f"p.{number % 3}", number) for number in range(9)]
        some = other.messages("p.1", since=positions[1])
        everything = other.messages("p.*", since=broker.Since.ALL)
        for number in range(9, 12):
            one.publish(f"p.{number % 3}", number)
        assert data_of(await take(some, 3)) == [4, 7, 10]
        assert data_of(await take(everything, 12)) == list(range(12))
        nothing = other.messages("p.*", since=positions[8])
        assert data_of(await take(nothing, 3)) == [9, 10, 11]


async def test_a_position_of_another_epoch(world: World) -> None:
    """A position of another epoch, or of the future, gives a Reset, and then what comes."""
    async with nodes(world) as (one, other):
        last = await one.published("a", 1, keep=True)
        assert last is not None
        for position in (
            broker.Position("another", 1),
            broker.Position(last.epoch, last.offset + 5),
        ):
            reader = other.messages("a", since=position)
            reset = await anext(reader)
            assert isinstance(reset, Reset)
            assert reset.retained == [Message("a", 1, last)]
            assert reset.position == last


async def test_lost_history(world: World) -> None:
    """Where the history has lost messages since a position, the first item is a Reset."""
    async with nodes(world, history=broker.History(most=5)) as (one, other):
        first = await one.published("a", 0)
        for number in range(1, 10):
            last = await one.published("a", number)
        reader = other.messages("a", since=first)
        assert await anext(reader) == Reset(last, [])
        one.publish("a", 10)
        assert data_of(await take(reader, 1)) == [10]
        assert len(await take(other.messages("a", since=broker.Since.ALL), 5)) == 5


async def test_retained(world: World) -> None:
    """The retained value is the last one that was kept; None removes it."""
    async with nodes(world) as (one, other):
        await one.published("t.a", 1, keep=True)
        kept = await one.published("t.a", 2, keep=True)
        await one.published("t.a", 3)
        await one.published("t.b", 4, keep=True)
        await one.published("t.b", None, keep=True)
        reader = other.messages("t.*", since=broker.Since.RETAINED)
        assert await anext(reader) == Message("t.a", 2, kept)
        one.publish("t.b", 5)
        assert data_of(await take(reader, 1)) == [5]
        if world.has_server:
            # A node that begins later knows them too.
            async with broker.Topics(world.engine()) as later:
                reader = later.messages("t.*", since=broker.Since.RETAINED)
                assert await anext(reader) == Message("t.a", 2, kept)


async def test_presence(world: World) -> None:
    """Members are those of all nodes; one who goes is present for the length of a lease."""
    async with nodes(world, lease=1.5) as (one, other):
        seen = other.presence("chat.*")
        one.enter("chat.lobby", "ann")
        one.enter("chat.lobby", "ann")
        other.enter("chat.>", "bob\0\u00e9")
        one.enter("chat.lobby", None)
        one.enter("news", "eve")
        came = sorted([await anext(seen), await anext(seen)], key=lambda event: event.topic)
        assert came == [Joined("chat.>", "bob\0\u00e9"), Joined("chat.lobby", "ann")]
        while (found := await other.members("chat.lobby")).guests == 0:
            await asyncio.sleep(0.01)
        assert (found.names, found.guests) == (["ann", "bob\0\u00e9"], 1)
        one.leave("chat.lobby", "ann")
        one.leave("chat.lobby", None)
        other.leave("chat.>", "bob\0\u00e9")
        assert await anext(seen) == Left("chat.>", "bob\0\u00e9")
        assert (await other.members("chat.lobby")).names == ["ann"]
        one.leave("chat.lobby", "ann")
        assert await anext(seen) == Left("chat.lobby", "ann")
        await seen.aclose()


async def test_a_killed_server(world: World) -> None:
    """The server is killed and started under load: every message comes once, or a gap is told."""
    if not world.has_server:
        return
    async with nodes(world) as (one, other):
        reader = other.messages("load", most=10_000)
        late = one.messages("load", most=10_000, since=await one.published("load", -1))
        assert data_of(await take(reader, 1)) == [-1]
        sent = 0

        async def publish() -> None:
            nonlocal sent
            for _ in range(200):
                for _ in range(5):
                    one.publish("load", sent)
                    sent += 1
                await asyncio.sleep(0.005)

        load = asyncio.ensure_future(publish())
        for _ in range(2):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(world.kill)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(world.start)
            await one.ready()
        await load
        for source in (reader, late):
            assert data_of(await take(source, sent)) == list(range(sent))


async def test_positions_are_kept_over_a_restart(world: World) -> None:
    """A position from before a restart of the server serves after it, on a new node too."""
    if not world.has_server:
        return
    async with nodes(world) as (one, _):
        first = await one.published("a", 1)
        await one.published("a", 2)
    await asyncio.to_thread(world.kill)
    await asyncio.to_thread(world.start)
    async with nodes(world) as (_, other):
        assert data_of(await take(other.messages("a", since=first), 1)) == [2]


async def test_publishing_while_the_server_is_away(world: World) -> None:
    """Publishing does not wait for a server that is away, and says that it is degraded."""
    if not world.has_server:
        return
    async with nodes(world) as (one, other):
        reader = other.messages("a")
        await asyncio.to_thread(world.kill)
        try:
            async with asyncio.timeout(10):
                while not one.is_degraded:
                    await asyncio.sleep(0.01)
            for number in range(100):
                one.publish("a", number)
        finally:
            await asyncio.to_thread(world.start)
        assert data_of(await take(reader, 100)) == list(range(100))
        assert not one.is_degraded


async def test_two_nodes_publish_at_once(world: World) -> None:
    """Each node sees the messages of all in one order, that of their positions."""
    async with nodes(world) as (one, other):
        readers = [one.messages("a.*"), other.messages("a.*")]
        published = [node.published(f"a.{n}", n) for n, node in enumerate([one, other] * 100)]
        positions = await asyncio.gather(*published)
        seen = [await take(reader, 200) for reader in readers]
        assert seen[0] == seen[1]
        offsets = [item.position.offset for item in seen[0]]
        assert offsets == sorted({position.offset for position in positions if position})
