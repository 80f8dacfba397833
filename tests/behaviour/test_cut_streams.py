"""Streams on connections that are cut, and streams that nobody reads."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.testing import Pair, every_cut, pair

COUNT = 12
MIB = 1 << 20


class House(broker.Root):
    """Makes numbers, and takes some."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.made = 0

    async def remote_rows(self) -> AsyncIterator[int]:
        """Count."""
        try:
            for number in range(COUNT):
                yield number
                if number % 5 == 0:
                    await asyncio.sleep(0)
        finally:
            self.ended.append("rows")

    async def remote_sum(self, numbers: Any) -> int:
        """Add."""
        return sum([number async for number in broker.stream_of(numbers)])

    async def remote_pieces(self) -> AsyncIterator[bytes]:
        """Make pieces of 10 GB."""
        piece = bytes(65_536)
        while self.made < 10 * 1024 * MIB // len(piece):
            self.made += 1
            yield piece


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_each_cut(dialect: str, frames: bool) -> None:
    """The items before the cut are the first ones, in order; each generator is closed, once."""
    houses: list[House] = []

    def new_pair() -> Any:
        houses.append(House())
        return pair(houses[-1], dialect=dialect)

    async def numbers(ended: list[str]) -> AsyncIterator[int]:
        try:
            for number in range(COUNT):
                yield number
        finally:
            ended.append("numbers")

    @every_cut(new_pair, frames=frames)
    async def streams_are_whole(pair: Pair) -> None:
        house, call = houses[-1], pair.client.root.callRemote
        items: list[int] = []
        ended: list[str] = []
        try:
            async for item in call("rows"):
                items.append(item)
            assert items == list(range(COUNT))
            assert await call("sum", numbers(ended)) == sum(range(COUNT))
            assert (house.ended, ended) == (["rows"], ["numbers"])
        finally:
            assert items == list(range(len(items)))
            await asyncio.sleep(0)
            assert len(house.ended) <= 1
            assert len(ended) <= 1

    await streams_are_whole()
    assert len(houses) > (10 if frames else 200)
    assert houses[0].ended == ["rows"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_reader_that_sleeps(dialect: str) -> None:
    """Of 10 GB no more is made than the credit, and 1 MiB at each end; the rest is never made."""
    house = House()
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(house, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        gc.collect()
        tracemalloc.start()
        try:
            stream = broker.stream_of(await connection.root.callRemote("pieces"))
            assert len(await anext(stream)) == 65_536
            made = -1
            while made < house.made:
                made = house.made
                for _ in range(20):
                    await connection.root.callRemote("sum", numbers_of(2))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert house.made <= 17 + 2
        assert peak < 2 * MIB + MIB
        assert stream.received == 1
        await stream.stop()


async def numbers_of(count: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(count):
        yield number
