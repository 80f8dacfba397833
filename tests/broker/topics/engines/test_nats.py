"""The engine on NATS: what its servers can lose, and how that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from support.nats_server import NatsServer

import broker
from broker.topics.engines.nats import NatsEngine
from broker.topics.items import Message, Reset

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of its own for each test."""
    made = NatsServer(tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.kill()


async def test_a_stream_in_memory(server: NatsServer) -> None:
    """A server that has lost its stream gives a Reset to who reads, and to who comes back."""
    async with (
        broker.Topics(NatsEngine(server.url, in_memory=True)) as one,
        broker.Topics(NatsEngine(server.url, in_memory=True)) as other,
    ):
        reader = other.messages("a")
        first = await one.published("a", 1, keep=True)
        assert await anext(reader) == Message("a", 1, first)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        reset: Any = await anext(reader)
        assert isinstance(reset, Reset) and reset.retained == []
        assert first is not None and reset.position.epoch != first.epoch
        again = await one.published("a", 2)
        assert await anext(reader) == Message("a", 2, again)
        assert isinstance(await anext(other.messages("a", since=first)), Reset)


async def test_messages_that_are_gone(server: NatsServer) -> None:
    """What the stream loses while a node is away is told to the node's readers by a Reset."""
    async with (
        broker.Topics(NatsEngine(server.url)) as one,
        broker.Topics(NatsEngine(server.url)) as other,
    ):
        reader = other.messages("a")
        one.publish("a", 1)
        assert (await anext(reader)).data == 1  # type: ignore[union-attr]
        engine: Any = other._engine
        # The node reads nothing more, as if it were cut off.
        took = engine._took
        engine._took = nothing
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        for number in range(2, 6):
            await one.published("a", number)
        client = await nats.connect(server.url)
        await client.jetstream().purge_stream("broker", keep=1)
        await client.close()
        engine._took = took
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        reset = await anext(reader)
        assert isinstance(reset, Reset)
        assert reset.position is not None
        await one.published("a", 6)
        item: Any = await anext(reader)
        assert item.data == 6


async def nothing(message: Any) -> None:
    """Take a message, and do nothing."""


async def test_messages_out_of_turn(server: NatsServer) -> None:
    """A message that the client has dropped is fetched by a new consumer; none is lost."""
    async with (
        broker.Topics(NatsEngine(server.url)) as one,
        broker.Topics(NatsEngine(server.url)) as other,
    ):
        reader = other.messages("a")
        engine: Any = other._engine
        took, dropped = engine._took, []

        async def drop_one(message: Any) -> None:
            if message.metadata.sequence.stream == 3 and not dropped:
                dropped.append(message)
            else:
                await took(message)

        await asyncio.to_thread(server.kill)
        engine._took = drop_one
        await asyncio.to_thread(server.start)
        for number in range(1, 8):
            await one.published("a", number)
        items: list[Any] = [await anext(reader) for _ in range(7)]
        assert [item.data for item in items] == list(range(1, 8))
        assert len(dropped) == 1


@pytest.mark.parametrize("name", ["", "a.b", "a*", "x" * 33])
def test_wrong_names(name: str) -> None:
    """A name that cannot be that of a stream is refused."""
    with pytest.raises(broker.ConfigError, match="the name of a NatsEngine"):
        NatsEngine("nats://127.0.0.1:1", name=name)
