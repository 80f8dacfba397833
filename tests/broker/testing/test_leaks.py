"""Leaks: each kind that a test may leave is found, and nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.club import DIALECTS, CachedBoard, Club, Thing

import broker
from broker.testing.connected_pair import Pair, pair
from broker.testing.leaks import Leak


def kinds(made: Pair) -> set[tuple[str, str, str]]:
    """The leaks, without their numbers."""
    return {(leak.end, leak.kind, leak.name) for leak in made.leaks()}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nothing_is_left(dialect: str) -> None:
    """Calls with objects, caches, errors and streams that are over leave nothing."""
    club = Club()
    async with pair(club, dialect=dialect) as made:
        root = made.client.root
        thing = await root.callRemote("thing")
        assert await thing.callRemote("ping") == "pong"
        await root.callRemote("keep", Thing())
        await root.callRemote("forget")
        assert isinstance(await root.callRemote("board"), CachedBoard)
        with pytest.raises(broker.Error):
            await root.callRemote("fail")
        async with broker.stream_of(await root.callRemote("count")) as stream:
            assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
        del thing, stream
        await made.settled()
        assert made.leaks() == []
        assert club.stopped == ["count"]


async def keep_reference(root: Any) -> Any:
    """Hold an object of the server."""
    return await root.callRemote("thing")


async def keep_argument(root: Any) -> Any:
    """Let the server hold an object of the client."""
    await root.callRemote("keep", Thing())


async def keep_cache(root: Any) -> Any:
    """Hold a cache."""
    return await root.callRemote("board")


async def keep_call(root: Any) -> Any:
    """Wait for a call that is not answered."""
    waits = root.callRemote("wait")
    waits.addErrback(lambda failure: None)
    return waits


async def keep_stream(root: Any) -> Any:
    """Read a part of a stream."""
    stream = broker.stream_of(await root.callRemote("count"))
    await anext(stream)
    return stream


REFERENCES = {("server", "export", "Thing"), ("client", "import", "RemoteReference")}
ARGUMENTS = {("client", "export", "Thing"), ("server", "import", "RemoteReference")}
CACHES = {("server", "cacheable", "Board"), ("client", "cache", "CachedBoard")}
CALLS = {("client", "call", "wait"), ("server", "method", "wait")}
STREAMS = {("client", "stream", "RemoteStream"), ("server", "stream", "count")}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (keep_reference, REFERENCES),
        (keep_argument, ARGUMENTS),
        (keep_cache, CACHES),
        (keep_call, CALLS),
    ],
)
async def test_a_leak_of_each_kind(
    plant: Callable[[Any], Any], expected: set[tuple[str, str, str]], dialect: str
) -> None:
    """A planted leak is found at both ends, with its class or method, until it is let go."""
    club = Club()
    async with pair(club, dialect=dialect) as made:
        kept = await plant(made.client.root)
        await made.settled()
        assert kinds(made) == expected
        assert all(leak.number > 0 for leak in made.leaks())
        club.kept.clear()
        club.gate.set()
        if plant is keep_call:
            await kept
        del kept
        await made.settled()
        assert made.leaks() == []


async def test_a_stream() -> None:
    """An open stream is found at both ends; it is not, once its reader is collected."""
    club = Club()
    async with pair(club) as made:
        kept = await keep_stream(made.client.root)
        await made.settled()
        assert kinds(made) == STREAMS
        del kept
        await made.settled()
        assert made.leaks() == []
    assert club.stopped == ["count"]


async def test_a_stream_as_a_reference() -> None:
    """In PB's dialects the stream is an object that the reader holds."""
    async with pair(Club(), dialect="pb") as made:
        kept = await keep_stream(made.client.root)
        await made.settled()
        assert {(leak.end, leak.kind) for leak in made.leaks()} == {
            ("server", "export"),
            ("client", "import"),
        }
        await kept.stop()


class Stubborn(broker.Root):
    """Has a generator that does not end when it is stopped."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def remote_items(self) -> AsyncIterator[int]:
        """Wait at the end, although the stream was stopped."""
        yield 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self.gate.wait()


async def test_a_generator_that_goes_on() -> None:
    """A generator that does not end after its stream was stopped is a task that is left."""
    root = Stubborn()
    async with pair(root) as made:
        async with broker.stream_of(await made.client.root.callRemote("items")) as stream:
            assert await anext(stream) == 1
        await made.settled()
        assert ("server", "task", "items") in kinds(made)
        root.gate.set()
        await made.settled()
        assert made.leaks() == []


class Deaf(broker.Root):
    """Has a method that ignores that it is cancelled."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def remote_wait(self) -> None:
        """Wait, and wait again."""
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self.gate.wait()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_method_that_outlives_its_connection(dialect: str) -> None:
    """A method that still runs after the connection has ended is found."""
    root = Deaf()
    async with pair(root, dialect=dialect) as made:
        waits = made.client.root.callRemote("wait")
        waits.addErrback(lambda failure: None)
        await made.settled()
    assert ("server", "task", "wait") in kinds(made)
    root.gate.set()
    while made.leaks():
        await asyncio.sleep(0)


async def test_a_one_way_call_that_runs() -> None:
    """The method of a one-way call is found, without a number."""
    club = Club()
    async with pair(club) as made:
        made.client.root.send("wait")
        await made.settled()
        assert made.leaks() == [Leak("server", "method", "wait", 0)]
        assert str(made.leaks()[0]) == "server: method wait"
        club.gate.set()


async def test_after_a_cut() -> None:
    """The tables of a connection that was cut are empty."""
    club = Club()
    async with pair(club) as made:
        kept = [await plant(made.client.root) for plant in (keep_reference, keep_cache, keep_call)]
        made.network.cut()
        await made.server.wait_closed()
        await made.client.wait_closed()
        await made.settled()
        assert made.leaks() == []
        assert len(kept) == 3


async def test_the_text() -> None:
    """The text has the end, the kind, the number and the class."""
    assert str(Leak("client", "export", "Seat", 12)) == "client: export 12 Seat"
