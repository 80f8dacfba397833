"""Streams: items in order, each way to stop, errors, and that nothing remains; in both dialects."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.defer import Deferred


class Full(broker.Error):
    """Raised in a generator, and known at both ends."""


broker.register(Full)


class House(broker.Root):
    """Has generators of each state."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.closed = asyncio.Event()
        self.begun = asyncio.Event()
        self.kept: Any = None

    def _end(self, how: str) -> None:
        self.ended.append(how)
        self.closed.set()

    async def remote_rows(self, count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                yield number
        finally:
            self._end("rows")

    async def remote_endless(self) -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                self.begun.set()
                yield number
                number += 1
        except GeneratorExit:
            self._end("closed")
            raise

    async def remote_waiting(self) -> AsyncIterator[int]:
        try:
            yield 1
            self.begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._end("cancelled")
            raise
        except GeneratorExit:
            self._end("closed")
            raise

    async def remote_failing(self, at: int) -> AsyncIterator[int]:
        for number in range(at):
            yield number
        raise Full("no more seats")

    async def remote_hidden(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("secret")

    async def remote_unsendable(self) -> AsyncIterator[object]:
        try:
            yield 1
            yield object()
        finally:
            self._end("unsendable")

    async def remote_objects(self) -> AsyncIterator[object]:
        for number in range(3):
            yield Counter(number)

    async def remote_sum(self, numbers: Any) -> int:
        return sum([number async for number in numbers])

    async def remote_first(self, numbers: Any) -> int:
        async for number in numbers:
            return int(number)
        return -1

    def remote_keep(self, numbers: Any) -> None:
        self.kept = numbers

    def remote_drop(self) -> None:
        self.kept = None

    def remote_list(self) -> list[int]:
        return [1]

    async def remote_double(self, numbers: Any) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    def remote_passed_on(self, numbers: Any) -> Any:
        return broker.Stream(aiter(numbers))

    def remote_echo(self, value: Any) -> Any:
        return value


class Counter(broker.Referenceable):
    """An object among the items."""

    def __init__(self, number: int):
        self.number = number

    def remote_number(self) -> int:
        return self.number


class Numbers:
    """Makes numbers, and knows how it ended."""

    def __init__(self, count: int):
        self.count = count
        self.ended = asyncio.Event()

    async def items(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                yield number
        finally:
            self.ended.set()


class Pair:
    """A server and a client."""

    def __init__(self, house: House, connection: broker.Connection, server: broker.Server):
        self.house = house
        self.root: Any = connection.root
        self.connection = connection
        self.server = server

    @property
    def left(self) -> dict[str, int]:
        """What both ends still hold of streams."""
        ends = {"client": self.connection.broker, "server": self.server.connections[0].broker}
        found = {}
        for name, end in ends.items():
            streams = end.session.translator.streams
            found[f"{name} in"], found[f"{name} out"] = len(streams.incoming), len(streams.outgoing)
            found[f"{name} objects"] = len(end.session.translator.exports)
            found[f"{name} producers"] = len(end._producers or ())
        return {place: count for place, count in found.items() if count}

    async def settled(self) -> None:
        """Wait until nothing is left."""
        async with asyncio.timeout(60):
            while self.left:
                gc.collect()
                await asyncio.sleep(0)
                await self.root.callRemote("echo", 1)


@pytest.fixture(params=DIALECTS)
def pair(request: pytest.FixtureRequest, at_end: list[Any]) -> Any:
    """A pair, made by the test: ``await pair()``."""
    policy = broker.STRICT.but(dialects=(request.param,))

    async def make(**settings: Any) -> Pair:
        house = House()
        chosen = policy.but(**settings)
        server = await broker.serve(house, "pb://127.0.0.1:0", policy=chosen)
        connection = await broker.connect(server.addresses[0], policy=chosen)

        async def end() -> None:
            await connection.close()
            await server.close()

        at_end.append(end)
        return Pair(house, connection, server)

    return make


@pytest.mark.parametrize("count", [0, 1, 2, 127, 128, 129, 256, 257, 5000])
async def test_all_items(pair: Any, count: int) -> None:
    """They come once, in order, as a result and as an argument; the generator ends once."""
    line = await pair()
    assert [row async for row in line.root.callRemote("rows", count)] == list(range(count))
    assert line.house.ended == ["rows"]
    numbers = Numbers(count)
    assert await line.root.callRemote("sum", numbers.items()) == sum(range(count))
    await line.settled()


async def test_await_and_iterate(pair: Any) -> None:
    """The stream can be taken first, and read later, item by item."""
    line = await pair()
    stream = broker.stream_of(await line.root.callRemote("rows", 3))
    assert await anext(stream) == 0
    assert stream.received == 1
    assert [row async for row in stream] == [1, 2]
    assert (stream.is_ended, stream.received) == (True, 3)
    assert [row async for row in stream] == []
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    del stream
    await line.settled()


async def test_both_ways_at_once(pair: Any) -> None:
    """A stream is made of another one, while both are read."""
    line = await pair()
    numbers = Numbers(3000)
    doubled = [n async for n in line.root.callRemote("double", numbers.items())]
    assert doubled == list(range(0, 6000, 2))
    forwarded = [n async for n in line.root.callRemote("passed_on", Numbers(500).items())]
    assert forwarded == list(range(500))
    await line.settled()


async def test_objects_among_the_items(pair: Any) -> None:
    """They can be called, and are let go."""
    line = await pair()
    found = [await item.callRemote("number") async for item in line.root.callRemote("objects")]
    assert found == [0, 1, 2]
    await line.settled()


async def leave(line: Pair, how: str, name: str) -> None:
    """Read one item of a stream, and stop it."""
    if how == "break":
        async for _ in line.root.callRemote(name):
            break
        return
    stream = broker.stream_of(await line.root.callRemote(name))
    if how == "with":
        async with stream:
            await anext(stream)
    elif how == "stop":
        await anext(stream)
        await stream.stop()
        await stream.stop()
        assert [row async for row in stream] == []
    elif how == "collect":
        await anext(stream)
    elif how == "unread":
        pass
    else:
        await anext(stream)

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await line.house.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stream.aclose()


@pytest.mark.parametrize("how", ["break", "with", "stop", "collect", "cancel", "unread"])
@pytest.mark.parametrize("name", ["endless", "waiting"])
async def test_each_way_to_stop(pair: Any, how: str, name: str) -> None:
    """The generator is closed where it waits at ``yield``, and cancelled where it runs; once."""
    line = await pair()
    await leave(line, how, name)
    gc.collect()
    await line.settled()
    is_begun = how != "unread" or line.connection.dialect == "msgpack/1"
    if is_begun:
        await line.house.closed.wait()
    assert len(line.house.ended) == is_begun
    if name == "endless":
        assert line.house.ended in ([], ["closed"])


async def test_an_argument_that_is_not_read_to_its_end(pair: Any) -> None:
    """The caller's generator is closed."""
    line = await pair()
    numbers = Numbers(10**9)
    assert await line.root.callRemote("first", numbers.items()) == 0
    await numbers.ended.wait()
    await line.settled()


async def test_an_argument_that_a_method_keeps(pair: Any) -> None:
    """The stream belongs to the connection, not to the call."""
    line = await pair()
    numbers = Numbers(10**9)
    await line.root.callRemote("keep", numbers.items())
    stream = broker.stream_of(line.house.kept)
    assert [await anext(stream) for _ in range(1000)] == list(range(1000))
    del stream
    await line.root.callRemote("drop")
    await line.settled()
    await numbers.ended.wait()


async def test_an_error_comes_behind_the_items(pair: Any) -> None:
    """It is raised once; then the stream has ended."""
    line = await pair()
    got = []
    stream = broker.stream_of(await line.root.callRemote("failing", 300))
    with pytest.raises(Full, match="no more seats"):
        async for row in stream:
            got.append(row)
    assert got == list(range(300))
    assert [row async for row in stream] == []
    del stream
    await line.settled()


async def test_an_error_that_is_not_shown(pair: Any) -> None:
    """Its text stays in the log of the producer, as that of a call does."""
    line = await pair()
    with pytest.raises(broker.RemoteError, match=r"internal error \(id [0-9a-f]{8}\)"):
        async for _ in line.root.callRemote("hidden"):
            pass
    await line.settled()


async def test_an_item_that_cannot_be_sent(pair: Any) -> None:
    """The items before it arrive, and the generator is closed."""
    line = await pair()
    got = []
    with pytest.raises(broker.CannotJelly):
        async for row in line.root.callRemote("unsendable"):
            got.append(row)
    assert got in ([1], [])
    await line.house.closed.wait()
    await line.settled()


async def test_a_result_that_is_no_stream(pair: Any) -> None:
    """The error names the method, and what it has returned."""
    line = await pair()
    with pytest.raises(TypeError, match=r"^'list' returned list, not a stream$"):
        async for _ in line.root.callRemote("list"):
            pass
    with pytest.raises(broker.NoSuchMethod):
        async for _ in line.root.callRemote("nosuch"):
            pass


async def test_a_wait_that_is_cancelled(pair: Any) -> None:
    """It loses no item, and ends nothing."""
    line = await pair()
    stream = broker.stream_of(await line.root.callRemote("waiting"))
    assert await anext(stream) == 1
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
    assert not stream.is_ended
    await stream.stop()
    del stream
    await line.settled()


async def test_two_readers(pair: Any) -> None:
    """A second one is told, and the first one goes on."""
    line = await pair()
    stream = broker.stream_of(await line.root.callRemote("waiting"))
    await anext(stream)
    first = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=r"^this stream is being read$"):
        await anext(stream)
    with pytest.raises(RuntimeError, match=r"^this stream is being read$"):
        await stream.read()
    await stream.stop()
    with pytest.raises(broker.EndOfStream):
        await first
    del stream
    await line.settled()


async def test_callbacks(pair: Any) -> None:
    """Programs with callbacks read item by item, to EndOfStream."""
    line = await pair()
    stream = broker.stream_of(await line.root.callRemote("rows", 2))
    got: list[Any] = []
    ended: Deferred[None] = Deferred()

    def more(item: int) -> None:
        got.append(item)
        read()

    def over(failure: Any) -> None:
        failure.trap(broker.EndOfStream)
        ended.callback(None)

    def read() -> None:
        stream.read().addCallbacks(more, over)

    read()
    await ended
    assert got == [0, 1]


async def test_the_connection_ends(pair: Any) -> None:
    """What has come can be read; then PBConnectionLost. Producers are closed at both ends."""
    line = await pair()
    numbers = Numbers(10**9)
    await line.root.callRemote("keep", numbers.items())
    stream = broker.stream_of(await line.root.callRemote("endless"))
    assert await anext(stream) == 0
    line.connection.broker.transport.abortConnection()
    with pytest.raises((broker.PBConnectionLost, broker.DeadReferenceError)):
        async for _ in stream:
            pass
    assert [row async for row in stream] == []
    if line.connection.dialect == "msgpack/1":
        # In PB's dialects a generator begins when its reader asks for items.
        await numbers.ended.wait()
    await line.house.closed.wait()
    assert line.house.ended == ["closed"]


async def test_ten_thousand_streams(pair: Any) -> None:
    """Opened and broken off, they leave nothing."""
    line = await pair()
    for _ in range(625):
        streams = [line.root.callRemote("endless") for _ in range(16)]
        for stream in streams:
            async for _ in stream:
                break
        del stream, streams
    await line.settled()
    assert not line.root.broker.session.translator.streams.incoming


async def test_a_call_beside_streams(pair: Any) -> None:
    """It is answered while the streams of the connection are at their limits."""
    line = await pair()
    held = [broker.stream_of(await line.root.callRemote("endless")) for _ in range(8)]
    for stream in held:
        await anext(stream)
    for number in range(20):
        assert await line.root.callRemote("echo", number) == number
    held.clear()
    del stream
    await line.settled()


async def test_full_windows_both_ways(pair: Any) -> None:
    """Both ends stream at each other, and nobody reads at first: no deadlock."""
    line = await pair()
    numbers = Numbers(20_000)
    doubled = broker.stream_of(await line.root.callRemote("double", numbers.items()))
    await asyncio.sleep(0.05)
    assert [n async for n in doubled] == list(range(0, 40_000, 2))
    del doubled
    await line.settled()
