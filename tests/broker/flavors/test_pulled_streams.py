"""Streams in PB's dialects: pull and close, as a Twisted program calls them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT
from broker.defer import Deferred
from broker.flavors.pulled_streams import PulledStream, pulled
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.streams import Stream
from cred.checkers import AllowAnonymousAccess
from cred.credentials import Anonymous
from cred.portal import Portal

PB = STRICT.but(dialects=("pb",))


class House(Root):
    """Gives streams, and knows how its generators end."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.gate: Deferred[None] = Deferred()
        self.kept: Any = None

    async def remote_rows(self, *items: Any) -> AsyncIterator[Any]:
        """Make these items."""
        try:
            for item in items:
                yield item
        finally:
            self.ended.append("rows")

    async def remote_gated(self) -> AsyncIterator[int]:
        """Make an item; the next one when the gate opens."""
        try:
            yield 1
            await self.gate
            yield 2
        finally:
            self.ended.append("gated")

    async def remote_failing(self) -> AsyncIterator[int]:
        """Make an item, then fail."""
        yield 1
        raise KeyError("no")

    def remote_large(self) -> Any:
        """Return a stream of large items."""
        return Stream(large())

    def remote_keep(self, stream: Any) -> None:
        """Keep a stream."""
        self.kept = stream


async def large() -> AsyncIterator[bytes]:
    """Make ten items of 40 kB."""
    for number in range(10):
        yield bytes([number]) * 40_000


class Giver(Root):
    """Gives a stream of one source."""

    def __init__(self, source: Any):
        self.source = source

    def remote_give(self) -> Any:
        """Return it."""
        return Stream(self.source)


def open_stream(name: str, *args: Any) -> tuple[BrokerPair, House, Any]:
    """A pair, its root, and the reference to a stream."""
    house = House()
    pair = BrokerPair(house, policy=PB)
    reference = pair.call(name, *args)
    assert type(reference) is RemoteReference
    return pair, house, reference


def test_pulling() -> None:
    """At most so many items, then an empty list, however often it is asked."""
    pair, house, stream = open_stream("rows", *range(5))
    assert pair.get(stream.callRemote("pull", 2)) == [0, 1]
    assert pair.get(stream.callRemote("pull", 100)) == [2, 3, 4]
    assert house.ended == ["rows"]
    for _ in range(2):
        assert pair.get(stream.callRemote("pull", 100)) == []


@pytest.mark.parametrize(("most", "count"), [(0, 1), (-5, 1), (10**9, 256)])
def test_how_many(most: int, count: int) -> None:
    """Another number is brought into the range of 1 to 256."""
    pair, _, stream = open_stream("rows", *range(300))
    assert len(pair.get(stream.callRemote("pull", most))) == count


def test_large_items() -> None:
    """A list has about 64 KiB."""
    pair, _, stream = open_stream("large")
    got: list[bytes] = []
    while batch := pair.get(stream.callRemote("pull", 100)):
        assert len(batch) <= 2
        got += batch
    assert [item[0] for item in got] == list(range(10))


def test_items_that_come_later() -> None:
    """What there is goes out at once; pulls wait in their order."""
    pair, house, stream = open_stream("gated")
    assert pair.get(stream.callRemote("pull", 10)) == [1]
    got: list[Any] = []
    for name in ("first", "second"):
        stream.callRemote("pull", 10).addCallback(
            lambda items, name=name: got.append((name, items))
        )
    pair.exchange()
    assert got == []
    house.gate.callback(None)
    pair.exchange()
    assert got == [("first", [2]), ("second", [])]


def test_an_error() -> None:
    """It is raised behind the items, once."""
    pair, _, stream = open_stream("failing")
    assert pair.get(stream.callRemote("pull", 10)) == [1]
    assert pair.get(stream.callRemote("pull", 10)).check("broker.errors.RemoteError")
    assert pair.get(stream.callRemote("pull", 10)) == []


@pytest.mark.parametrize("how", ["close", "drop", "cut"])
@pytest.mark.parametrize("begun", [False, True])
def test_closing(how: str, begun: bool) -> None:
    """The generator is closed, once, and a pull that waits is answered."""
    pair, house, stream = open_stream("gated")
    waiting: list[Any] = []
    if begun:
        assert pair.get(stream.callRemote("pull", 10)) == [1]
        stream.callRemote("pull", 10).addBoth(waiting.append)
        pair.exchange()
    if how == "close":
        assert pair.get(stream.callRemote("close")) is None
        assert pair.get(stream.callRemote("close")) is None
        assert pair.get(stream.callRemote("pull", 10)) == []
        assert waiting == [[]] * begun
    elif how == "drop":
        waiting.clear()
        del stream
        pair.collect()
    else:
        pair.cut()
    assert house.ended == ["gated"] * begun
    if how != "cut":
        del house
        gc.collect()
        assert not any(isinstance(each.__self__, PulledStream) for each in pair.server.disconnects)


class Closable:
    """A source that has a resource before its first item."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> Closable:
        return self

    async def __anext__(self) -> int:
        return 1

    async def aclose(self) -> None:
        """Count it."""
        self.closed += 1


@pytest.mark.parametrize("how", ["close", "drop", "cut"])
def test_closing_a_source_that_was_never_pulled(how: str) -> None:
    """Its ``aclose`` is called, once."""
    source = Closable()
    pair = BrokerPair(Giver(source), policy=PB)
    stream = pair.call("give")
    if how == "close":
        pair.get(stream.callRemote("close"))
    elif how == "drop":
        del stream
        pair.collect()
    pair.cut()
    assert source.closed == 1


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_a_reader_that_has_logged_in(dialect: str) -> None:
    """The generator of a reader that goes away is closed too where objects belong to a user."""
    ended = asyncio.get_running_loop().create_future()

    class User(broker.Avatar):
        async def perspective_rows(self) -> AsyncIterator[int]:
            """Make more items than are made ahead."""
            try:
                for number in range(10_000):
                    yield number
            finally:
                ended.set_result(None)

    portal = Portal(broker.realm(lambda avatar_id, mind: User()), [AllowAnonymousAccess()])
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(portal, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], Anonymous(), policy=policy) as connection,
    ):
        async for _ in connection.avatar.callRemote("rows"):
            break
        async with asyncio.timeout(5):
            await ended
        (peer,) = server.connections
        assert peer.broker.session.translator.exports._due == {}


def test_reading_ahead() -> None:
    """This library keeps two pulls under way, and takes their answers in order."""

    class Puller(Referenceable):
        def __init__(self) -> None:
            self.asked: list[Deferred[Any]] = []
            self.closed = 0

        def remote_pull(self, most: int) -> Deferred[Any]:
            """Answer later."""
            self.asked.append(Deferred())
            return self.asked[-1]

        def remote_close(self) -> None:
            """Count it."""
            self.closed += 1

    puller, house = Puller(), House()
    pair = BrokerPair(house, policy=PB)
    pair.call("keep", puller)
    stream = pulled(house.kept)
    got: list[Any] = []
    stream.read().addBoth(got.append)
    pair.exchange()
    assert len(puller.asked) == 2
    puller.asked[1].callback([3])
    pair.exchange()
    assert got == []
    puller.asked[0].callback([1, 2])
    pair.exchange()
    assert got == [1]
    for _ in range(2):
        stream.read().addBoth(got.append)
    pair.exchange()
    assert got == [1, 2, 3]
    puller.asked[2].callback([])
    stream.read().addBoth(got.append)
    pair.exchange()
    assert got[3].check("broker.errors.EndOfStream")
    assert stream.is_ended
    del stream
    pair.collect()
    assert puller.closed == 0


def test_a_reader_that_goes_away() -> None:
    """The object is told when its reference is collected, in whatever thread."""
    pair, house, reference = open_stream("gated")
    streams = [pulled(reference)]
    assert pair.get(streams[0].read()) == 1
    thread = threading.Thread(target=streams.clear)
    thread.start()
    thread.join()
    pair.collect()
    assert house.ended == []
    del reference
    pair.collect()
    assert house.ended == ["gated"]


def test_a_reference_without_a_connection() -> None:
    """Reading fails."""
    pair, _, reference = open_stream("gated")
    pair.cut()
    assert pair.client.disconnected
    ended = pulled(reference)
    failures: list[Any] = []
    ended.read().addErrback(failures.append)
    assert failures[0].check("broker.errors.DeadReferenceError")
