"""Stream and RemoteStream: what can be sent, what is told, and how a reader waits."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw
from support.memory import BrokerPair

from broker.core.policy import STRICT
from broker.core.wire.messages import Items
from broker.defer import CancelledError, Deferred
from broker.errors import CannotJelly, EndOfStream, PBConnectionLost
from broker.failure import Failure
from broker.flavors.referenceable import Root
from broker.flavors.streams import RemoteStream, Stream, stream_of
from jelly.jellier import Jellier


async def rows(*items: object) -> AsyncIterator[object]:
    """Make these items."""
    for item in items:
        yield item


class House(Root):
    """Gives and takes streams."""

    def __init__(self) -> None:
        self.kept: Any = None

    async def remote_rows(self, *items: Any) -> AsyncIterator[object]:
        """Make these items."""
        for item in items:
            yield item

    def remote_keep(self, stream: Any) -> None:
        """Keep a stream."""
        self.kept = stream

    async def remote_endless(self) -> AsyncIterator[object]:
        """Make no item, and do not end."""
        await Deferred()
        yield 1

    def remote_sync(self) -> Any:
        """Return a generator that is not async."""
        return (number for number in range(3))

    def remote_file(self) -> Any:
        """Return an open file."""
        with open(__file__, encoding="utf-8") as file:
            return file


def result_of(deferred: Any) -> Any:
    """The result of a Deferred, or its Failure."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results[0]


class Batches:
    """A feed whose batches the test gives."""

    def __init__(self, *batches: list[Any], is_ended: bool = True, error: Any = None):
        self.batches = list(batches)
        self.will_end = is_ended
        self.error = error
        self.stopped = 0

    @property
    def is_ended(self) -> bool:
        """Whether nothing is left."""
        return self.will_end and not self.batches

    def take(self) -> list[Any] | None:
        """Return the next batch."""
        return self.batches.pop(0) if self.batches else None

    def failure(self) -> BaseException | None:
        """Return the error, once."""
        error, self.error = self.error, None
        return error

    def stop(self) -> None:
        """Count it."""
        self.stopped += 1
        self.batches, self.will_end = [], True

    drop = stop


@pytest.mark.parametrize(
    ("items", "size", "kind", "text"),
    [
        ([1], None, TypeError, "a Stream is made of an async iterable, not list"),
        (5, None, TypeError, "a Stream is made of an async iterable, not int"),
        (None, "5", TypeError, "the size of a Stream is an int, not str"),
        (None, True, TypeError, "the size of a Stream is an int, not bool"),
        (None, -1, ValueError, "the size of a Stream is not negative"),
    ],
)
def test_what_is_no_stream(items: Any, size: Any, kind: type[Exception], text: str) -> None:
    """It is refused where it is made."""
    with pytest.raises(kind) as caught:
        Stream(rows() if items is None else items, size=size)
    assert str(caught.value) == text


def test_without_a_connection() -> None:
    """A stream needs one."""
    for value in (Stream(rows()), rows()):
        with pytest.raises(CannotJelly, match=r"^a stream is only sent over a connection"):
            Jellier().jelly(value)


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
def test_each_iterator_is_sent_once(dialect: str) -> None:
    """Also through different Streams; what makes a new iterator each time can be sent again."""

    class Again:
        def __aiter__(self) -> AsyncIterator[object]:
            return rows(1)

    pair = BrokerPair(House(), policy=STRICT.but(dialects=(dialect,)))
    items = rows(1)
    assert pair.call("keep", items) is None
    for value in (items, Stream(items)):
        failure = pair.call("keep", value)
        assert failure.check(CannotJelly)
        assert "this stream has been sent" in failure.getErrorMessage()
    again = Stream(Again())
    assert pair.call("keep", again) is None
    assert pair.call("keep", again) is None


def test_a_received_stream_is_not_sent() -> None:
    """The error says how it is forwarded."""
    pair = BrokerPair(House(), policy=STRICT)
    stream = pair.call("rows", 1)
    failure = pair.call("keep", stream)
    assert failure.check(CannotJelly)
    assert "forward it with broker.Stream(stream)" in failure.getErrorMessage()
    assert pair.call("keep", Stream(stream)) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sync", "send list(value), or wrap an async one in broker.Stream"),
        ("file", "use broker.read_file"),
    ],
)
def test_what_is_like_a_stream(name: str, text: str) -> None:
    """The error says what to send."""
    policy = STRICT.but(show_all_errors=True)
    assert text in BrokerPair(House(), policy=policy).call(name).getErrorMessage()


async def test_reading() -> None:
    """Item by item, over the batches; then nothing, however often it is asked."""
    stream: RemoteStream[int] = RemoteStream(Batches([1, 2], [3]), 3)
    assert (stream.size, stream.received, stream.is_ended) == (3, 0, False)
    assert await anext(stream) == 1
    assert (stream.received, repr(stream)) == (1, "<RemoteStream, 1 items received, open>")
    assert await stream.read() == 2
    assert [item async for item in stream] == [3]
    assert (stream.received, stream.is_ended) == (3, True)
    for _ in range(2):
        assert [item async for item in stream] == []
        with pytest.raises(EndOfStream):
            await stream.read()
    assert repr(stream) == "<RemoteStream, 3 items received, ended>"


async def test_an_error_at_the_end() -> None:
    """It is raised once, behind the items, by either way to read."""
    for read in (anext, lambda stream: stream.read()):
        stream: RemoteStream[int] = RemoteStream(Batches([1], error=ValueError("no")))
        assert await read(stream) == 1  # type: ignore[no-untyped-call]
        with pytest.raises(ValueError, match="no"):
            await read(stream)  # type: ignore[no-untyped-call]
        with pytest.raises((StopAsyncIteration, EndOfStream)):
            await read(stream)  # type: ignore[no-untyped-call]


async def test_an_item_that_does_not_convert() -> None:
    """The stream is stopped, and the error raised."""
    feed = Batches(["1", "x", "3"])
    stream: RemoteStream[int] = RemoteStream(feed)
    stream.convert = int
    with pytest.raises(ValueError, match="invalid literal"):
        await anext(stream)
    assert feed.stopped == 1
    stream = RemoteStream(Batches(["1", "2"]))
    stream.convert = int
    assert [item async for item in stream] == [1, 2]


async def test_a_feed_that_raises() -> None:
    """So it is with an item that cannot be decoded."""
    feed = Batches([1], is_ended=False)

    def fail() -> None:
        raise ValueError("malformed")

    feed.take = fail  # type: ignore[assignment]
    for _ in range(2):
        stream: RemoteStream[int] = RemoteStream(feed)
        with pytest.raises(ValueError, match="malformed"):
            await anext(stream)
        with pytest.raises(ValueError, match="malformed"):
            await RemoteStream(feed).read()


async def test_waiting() -> None:
    """A reader waits for the feed; a cancelled wait loses nothing."""
    feed = Batches(is_ended=False)
    stream: RemoteStream[int] = RemoteStream(feed)
    waiting = stream.read()
    with pytest.raises(RuntimeError, match=r"^this stream is being read$"):
        await stream.read()
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    got: list[int] = []
    stream.read().addCallback(got.append)
    stream.changed()
    assert got == []
    feed.batches.append([5, 6])
    stream.changed()
    assert got == [5]
    stream.changed()
    assert await anext(stream) == 6


async def test_stopping() -> None:
    """By the block, by the method, and when it is collected; the rest is not read."""
    feed = Batches([1, 2])
    stream: RemoteStream[int] = RemoteStream(feed)
    async with stream as same:
        assert same is stream
        assert await anext(stream) == 1
    assert (feed.stopped, stream.is_ended) == (1, True)
    assert [item async for item in stream] == []
    feed = Batches([1, 2])
    stream = RemoteStream(feed)
    await anext(stream)
    del stream, same
    gc.collect()
    assert feed.stopped == 1


def test_stream_of() -> None:
    """A stream is returned as it is; what is none is told."""
    stream: RemoteStream[int] = RemoteStream(Batches())
    assert stream_of(stream) is stream
    with pytest.raises(TypeError, match=r"^stream_of\(\) takes a stream, not list$"):
        stream_of([])


def test_the_connection_ends() -> None:
    """Items that have come can be read, then PBConnectionLost is raised, once."""
    pair = BrokerPair(House(), policy=STRICT)
    stream = pair.call("rows", 1, 2, 3)
    pair.exchange()
    pair.cut()
    assert [result_of(stream.read()) for _ in range(3)] == [1, 2, 3]
    assert result_of(stream.read()).check(EndOfStream)


def test_lost_before_its_end() -> None:
    """The error is that of a lost connection."""
    pair = BrokerPair(House(), policy=STRICT.but(stream_items=1))
    stream = pair.call("rows", *range(10))
    assert pair.get(stream.read()) == 0
    pair.cut()
    results = [result_of(stream.read()) for _ in range(3)]
    while not isinstance(results[0], Failure):
        results = [*results[1:], result_of(stream.read())]
    assert results[0].check(PBConnectionLost)
    assert [failure.check(EndOfStream) for failure in results[1:]] == [EndOfStream] * 2


def test_a_malformed_item_ends_the_connection() -> None:
    """At the latest when the program takes it."""
    pair = BrokerPair(House(), policy=STRICT)
    stream = pair.call("endless")
    (number,) = pair.server.session.translator.streams.outgoing
    pair.server.session.outbox.say(Items(number, Raw(b"\x91\xc4\x01a")))
    pair.server.flush()
    pair.exchange()
    failures: list[Any] = []
    stream.read().addErrback(failures.append)
    assert failures[0].check("jelly.errors.ProtocolError")
    assert pair.transport(pair.client).is_aborted
