"""Streams with a Twisted peer: it pulls those of this library, and gives some with two methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer, explained_by

import broker
from broker import pb

HERE = Path(__file__).parent


async def numbers(last: int, ended: list[str]) -> AsyncIterator[int]:
    """Count, and tell the end."""
    try:
        for number in range(last):
            yield number
    finally:
        ended.append(f"of {last}")


async def test_a_client_of_a_twisted_server() -> None:
    """It reads a stream with ``stream_of``, and its generators are pulled."""
    with Peer(HERE / "stream_server.py") as server, explained_by(server):
        port = await asyncio.to_thread(server.read)
        async with broker.connect(f"pb://127.0.0.1:{port}") as connection:
            call = connection.root.callRemote
            assert connection.dialect == "pb"
            assert [item async for item in call("rows", 1000)] == list(range(1000))
            async for item in call("rows", 10**6):
                if item == 700:
                    break
            async with broker.stream_of(await call("rows", 5)) as rows:
                assert await anext(rows) == 0
            broken: list[Any] = []
            with pytest.raises(pb.Error, match="no more paper"):
                async for item in call("broken"):
                    broken.append(item)
            assert broken == [0, 1, 2]
            assert (await call("closed"))[-1]
            ended: list[str] = []
            assert await call("total", numbers(1000, ended), 70) == sum(range(1000))
            assert await call("first", numbers(10**9, ended)) == [0]
            assert ended == ["of 1000", f"of {10**9}"]


class House(broker.Root):
    """Has streams, and takes them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.changed = asyncio.Event()

    async def remote_rows(self, last: int) -> AsyncIterator[int]:
        """Count."""
        try:
            async for number in numbers(last, self.names):
                yield number
        finally:
            self.changed.set()

    async def remote_broken(self) -> AsyncIterator[int]:
        """Fail."""
        yield 1
        raise pb.Error("no more paper")

    async def remote_total(self, stream: Any) -> int:
        """Read all."""
        return sum([item async for item in broker.stream_of(stream)])

    async def remote_first(self, stream: Any) -> int:
        """Read one item."""
        async with broker.stream_of(stream) as items:
            first: int = await anext(items)
            return first

    async def remote_ended(self) -> int:
        """Wait until the streams have ended; return how many did."""
        while len(self.names) < 3:
            self.changed.clear()
            await self.changed.wait()
        return len(self.names)


async def test_a_twisted_client() -> None:
    """It pulls, closes and drops streams of a server; the server reads the client's."""
    async with broker.serve(House(), "pb://127.0.0.1:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        with Peer(HERE / "stream_client.py", port) as client, explained_by(client):
            came = await asyncio.to_thread(client.read_all)
    assert came == [
        True,
        [0, 1],
        [1, "twisted.spread.pb.Error"],
        [sum(range(1000)), False],
        [0, True],
        3,
    ]
