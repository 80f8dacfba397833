"""Streams of two sessions: items in frames, credit, the end, stopping, and what is refused."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from support.memory import ROOT, SessionPair

from broker.core.calls.streaming import MOST_BYTES, ItemWriter
from broker.core.events import CallRaised, StreamOpened
from broker.core.objects.streams import LARGE_WINDOW, IncomingStream, OutgoingStream
from broker.core.objects.unopened import Unopened
from broker.core.policy import STRICT, Policy
from broker.core.session import Session
from broker.core.wire import messages
from broker.core.wire.dialects import MSGPACK, PB
from broker.core.wire.terms import Terms
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.streams import Stream
from jelly.errors import (
    CannotJelly,
    DecodeError,
    InsecureJelly,
    MalformedJelly,
    ProtocolError,
)

STRICTER = STRICT.but(stream_items=4, stream_window=100)


class House(Root):
    """Returns streams, and takes some."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def remote_rows(self, size: int | None = None) -> Any:
        """Return a stream; the test makes its items."""
        return Stream(nothing(), size=size)

    def remote_take(self, *streams: Any) -> None:
        """Take streams."""
        self.got += streams

    def remote_both(self) -> Any:
        """Return a stream beside a value that cannot be sent."""
        return [Stream(nothing()), object()]


async def nothing() -> AsyncIterator[object]:
    """Make no items: the test passes them to the writer."""
    for item in ():
        yield item


class Line:
    """A pair of sessions, and one stream from the server to the client.

    Attributes:
        outgoing, writer: of the server.
        incoming: at the client.
    """

    def __init__(self, policy: Policy = STRICT, **options: Any):
        self.house = House()
        self.pair = SessionPair(self.house, policy=policy, offered=(MSGPACK,), **options)
        self.incoming: IncomingStream = self.pair.call("rows")
        self.outgoing: OutgoingStream = self.opened()
        self.writer: ItemWriter = self.pair.server.streaming.writer(self.outgoing)

    def opened(self) -> OutgoingStream:
        """The newest stream of the server."""
        stream: OutgoingStream = self.pair.server_host.of(StreamOpened)[-1].stream
        return stream

    def send(self, *items: object) -> None:
        """Send items, each in what frames the writer makes."""
        for item in items:
            self.writer.add(item)
        self.writer.flush()
        self.pair.exchange()

    def take(self) -> list[object] | None:
        """Take the next frame at the client."""
        taken = self.pair.client.streaming.take(self.incoming)
        self.pair.exchange()
        return taken


def frames(line: Line) -> list[tuple[str, int]]:
    """The kinds and the numbers of items of the frames that wait at the client."""
    return [(kind.__name__, count) for kind, _, count, _ in line.incoming.frames]


def test_items_of_each_kind() -> None:
    """Plain ones go together, bytes alone, others as graphs; all arrive in order."""
    line = Line()
    items: list[object] = [1, "two", [3], {"four": 4}, b"five", {6}, (7,), 8, None]
    line.send(*items)
    assert frames(line) == [
        ("Items", 4),
        ("Piece", 1),
        ("ItemGraph", 1),
        ("ItemGraph", 1),
        ("Items", 2),
    ]
    taken: list[object] = []
    while (batch := line.take()) is not None:
        taken += batch
    assert taken == items
    assert line.pair.client.translator.held == 0


def test_frames_are_bounded() -> None:
    """A frame has at most so many bytes, and half of the items of the credit."""
    line = Line()
    line.send(*range(200))
    assert frames(line) == [("Items", 128), ("Items", 72)]
    line = Line()
    line.send("x" * 40_000, "y" * 40_000, "z" * 100_000, "a")
    assert frames(line) == [("Items", 1)] * 4
    assert max(len(data) for _, data, _, _ in line.incoming.frames) > MOST_BYTES
    line = Line(STRICT.but(stream_items=1))
    # A producer that has not read the terms has the baseline; this one has.
    assert line.writer._most == 1


def test_an_item_that_cannot_be_sent() -> None:
    """Those before it are sent; nothing of it is."""
    line = Line()
    line.writer.add(1)
    with pytest.raises(CannotJelly):
        line.writer.add([Referenceable(), object()])
    assert len(line.pair.server.translator.exports) == 0
    line.pair.exchange()
    assert frames(line) == [("Items", 1)]


def test_references_among_the_items() -> None:
    """They are references to the producer's objects, as in an answer."""
    line = Line()
    line.send(Referenceable())
    assert line.take()[0].object_id == line.outgoing.number + 1  # type: ignore[index,attr-defined]


def test_credit() -> None:
    """Without credit there is no room; it comes back when the program has taken half."""
    line = Line(STRICTER)
    credit = line.outgoing.credit
    assert (credit.items, credit.size) == (4, 100)
    line.send(1, 2, 3, 4)
    assert not line.writer.has_room
    assert line.take() == [1, 2]
    assert not line.writer.has_room
    # The first frame is given back when the program asks for more.
    assert line.take() == [3, 4]
    assert credit.items == 2
    assert line.take() is None
    assert credit.items == 4


def test_beyond_the_credit() -> None:
    """The connection ends."""
    line = Line(STRICTER)
    line.outgoing.credit.add(1000, 1000)
    with pytest.raises(ProtocolError, match=r"^stream 1: \d+ items beyond its credit$"):
        line.send(*range(100))


def test_a_frame_of_no_bytes_left() -> None:
    """So it does if no byte of credit was left."""
    line = Line(STRICT.but(stream_window=100))
    line.outgoing.credit.add(0, 1 << 20)
    line.send("x" * 70_000)
    with pytest.raises(ProtocolError, match=r"^stream 1: a frame beyond its credit of bytes$"):
        line.send("x")


@pytest.mark.parametrize("credit", [(3, 1000), (50, 3)])
def test_a_frame_is_sent_when_the_credit_is_used(credit: tuple[int, int]) -> None:
    """Without a flush; until then there is room for one more item, and afterwards there is not."""
    line = Line()
    line.outgoing.credit.items, line.outgoing.credit.size = credit
    for number in (1, 2):
        assert not line.writer.add(number)
        assert line.writer.has_room
    assert line.writer.add(3)
    assert line.writer.is_empty
    assert not line.writer.has_room


def test_streams_of_bytes_get_more_credit() -> None:
    """At the first piece, once; but not if it was stopped."""
    line = Line()
    line.send(b"x")
    assert line.outgoing.credit.size + len(b"x") + 5 == LARGE_WINDOW
    before = line.outgoing.credit.size
    line.send(b"y")
    assert line.outgoing.credit.size == before - 6


def test_the_end() -> None:
    """It comes behind the items; then the number means nothing."""
    line = Line()
    line.send(1, 2)
    server = line.pair.server
    server.streaming.end(line.outgoing)
    server.streaming.end(line.outgoing)
    line.pair.exchange()
    assert line.incoming.is_ended
    assert server.translator.streams.outgoing == {}
    assert line.take() == [1, 2]
    assert line.pair.client.translator.streams.incoming == {}
    assert line.take() is None
    with pytest.raises(ProtocolError, match=r"^stream 1 is not open$"):
        line.pair.client.streaming.on_end(messages.End(1))


def test_an_error_at_the_end() -> None:
    """It is shown as the error of a call is, and logged at the producer."""
    line = Line()
    server, client = line.pair.server, line.pair.client
    server.streaming.end(line.outgoing, ValueError("secret"))
    line.pair.exchange()
    raised = line.pair.server_host.of(CallRaised)
    assert [event.name for event in raised] == ["rows"]
    assert client.streaming.failure_of(line.incoming) is not None
    assert client.streaming.failure_of(line.incoming) is None


def test_stopping() -> None:
    """The producer is told once, ends at once, and what is under way is dropped."""
    line = Line()
    line.send(1)
    line.writer.add(2)
    line.writer.flush()
    client, server = line.pair.client, line.pair.server
    client.streaming.stop(line.incoming)
    client.streaming.stop(line.incoming)
    assert client.translator.held > 0
    line.pair.exchange()
    assert client.translator.held == 0
    assert server.translator.streams.outgoing == {}
    assert client.translator.streams.incoming == {}
    line.writer.add(3)
    line.writer.flush()
    assert server.data_to_send() == b""


def test_stop_crosses_the_end() -> None:
    """So does credit: both are ignored."""
    line = Line(STRICTER)
    line.send(1, 2)
    server, client = line.pair.server, line.pair.client
    server.streaming.end(line.outgoing)
    client.streaming.take(line.incoming)
    client.streaming.take(line.incoming)
    client.streaming.stop(line.incoming)
    line.pair.exchange()
    server.streaming.on_credit(messages.Credit(1, 1, 1))
    server.streaming.on_stop(messages.Stop(1))
    with pytest.raises(ProtocolError, match=r"^stream 2 is not open$"):
        server.streaming.on_stop(messages.Stop(2))


def test_references_of_a_stopped_stream() -> None:
    """They are released: those that waited, and those that come later."""
    line = Line()
    line.send(Referenceable(), Referenceable())
    client, server = line.pair.client, line.pair.server
    assert len(server.translator.exports) == 2
    client.streaming.stop(line.incoming)
    line.writer.add(Referenceable())
    line.writer.flush()
    line.pair.exchange()
    gc.collect()
    line.pair.exchange()
    assert len(server.translator.exports) == 0


def test_references_of_a_stream_that_ends_while_it_is_stopped() -> None:
    """They are released too where the end comes before the peer is told of the stop."""
    line = Line()
    line.send(Referenceable(), Referenceable())
    client, server = line.pair.client, line.pair.server
    client.streaming.stop(line.incoming)
    server.streaming.end(line.outgoing)
    client.receive(server.data_to_send())
    client.pump()
    assert client.translator.streams.incoming == {}
    assert client.translator.held == 0
    line.pair.exchange()
    assert len(server.translator.exports) == 0


def test_a_malformed_item() -> None:
    """It ends the connection when the program takes it, at the latest."""
    line = Line()
    line.pair.server.outbox.say(messages.Items(1, Raw(b"\x91\xc4\x01a")))
    line.pair.exchange()
    with pytest.raises(ProtocolError, match=r"^malformed message"):
        line.take()


def test_an_item_that_is_not_allowed() -> None:
    """It fails the reader, as an argument fails its call."""
    line = Line()
    line.pair.server.outbox.say(messages.ItemGraph(1, Raw(b"\x92\xc4\x04list\x91\xc4\x05wrong")))
    line.pair.exchange()
    with pytest.raises(DecodeError):
        line.take()


def test_plain_values_of_a_policy_that_allows_fewer() -> None:
    """They pass its security too."""
    security = STRICT.security.__class__()
    line = Line(client_policy=STRICT.but(security=security))
    line.send("text")
    with pytest.raises(InsecureJelly):
        line.take()


def test_sizes() -> None:
    """The size that the producer has told is known."""
    pair = SessionPair(House(), offered=(MSGPACK,))
    assert pair.call("rows", 1000).size == 1000
    assert pair.call("rows").size is None


def test_a_message_that_is_not_sent() -> None:
    """Its stream is not opened, and can be sent again."""
    pair = SessionPair(House(), offered=(MSGPACK,))
    items = nothing()
    with pytest.raises(CannotJelly):
        pair.client.outgoing.call(ROOT, "take", (Stream(items), object()), {})
    assert pair.client.translator.streams.outgoing == {}
    assert pair.client_host.of(StreamOpened) == []
    pair.client.outgoing.call(ROOT, "take", (Stream(items),), {})
    assert len(pair.client_host.of(StreamOpened)) == 1
    with pytest.raises(CannotJelly, match=r"^this stream has been sent"):
        pair.client.outgoing.call(ROOT, "take", (Stream(items),), {})
    assert "cannot be sent" in pair.call("both")
    assert pair.server.translator.streams.outgoing == {}


class Reader:
    """Stops its stream when it is collected, as the layer above does."""

    def __init__(self, session: Session, stream: IncomingStream):
        self._session = session
        self._stream = stream

    def __del__(self) -> None:
        self._session.streaming.stop(self._stream)


def with_readers(pair: SessionPair) -> SessionPair:
    """Have the server's streams read by such readers."""
    pair.server_host.make_stream = partial(Reader, pair.server)
    return pair


@pytest.mark.parametrize("name", ["nosuch", "rows"])
def test_a_call_that_is_refused(name: str) -> None:
    """Its streams are stopped, whether they were read or not."""
    pair = with_readers(SessionPair(House(), offered=(MSGPACK,)))
    assert isinstance(pair.call(name, Stream(nothing()), 2, 3), str)
    # The error has a traceback, whose frames have the arguments.
    pair.server_host.events.clear()
    gc.collect()
    pair.exchange()
    assert pair.client.translator.streams.outgoing == {}
    assert pair.server.translator.streams.incoming == {}


def test_too_many() -> None:
    """A call with more streams than may be open is refused, and all of them are stopped."""
    server = STRICT.but(max_streams=2)
    pair = with_readers(
        SessionPair(House(), policy=server, client_policy=STRICT, offered=(MSGPACK,))
    )
    # The client does not keep to the terms of the server.
    pair.client.translator.streams.terms = Terms(streams=9)
    failure = pair.call("take", *(Stream(nothing()) for _ in range(3)))
    assert "more than 2 streams (max_streams)" in failure
    pair.server_host.events.clear()
    gc.collect()
    pair.exchange()
    assert pair.client.translator.streams.outgoing == {}


def test_the_answer_of_a_call_that_was_given_up() -> None:
    """Its stream is stopped."""
    pair = SessionPair(House(), offered=(MSGPACK,))
    request = pair.client.outgoing.call(ROOT, "rows", (), {})
    pair.client.outgoing.abandon(request)
    pair.client_host.make_stream = pair.client.streaming.stop
    pair.exchange()
    assert pair.server.translator.streams.outgoing == {}
    assert pair.client.translator.streams.incoming == {}


def test_a_mind() -> None:
    """It cannot hold a stream, or a promise."""
    pair = SessionPair(House(), offered=(MSGPACK,))
    for tag, name in ((b"stream", "stream"), (b"promised", "promise")):
        mind = Unopened(
            [b"list", [tag, 1]],
            pair.server.translator.unjelly,
            pair.server._dropped,
            STRICT.limits,
            8,
        )
        with pytest.raises(MalformedJelly, match=rf"^a mind cannot hold a {name}$"):
            mind.open()


def test_in_other_dialects() -> None:
    """There are no streams: the tag means nothing."""
    pair = SessionPair(House(), offered=(PB,))
    assert not pair.server.translator.has_streams
    rows = pair.server.translator._made_rows()
    assert b"stream" not in rows


def test_the_end_of_the_connection() -> None:
    """What has arrived can still be taken."""
    line = Line()
    line.send(1, 2)
    line.pair.client.end()
    assert line.incoming.is_lost
    assert line.pair.client.streaming.take(line.incoming) == [1, 2]
    assert line.pair.client.streaming.take(line.incoming) is None


ITEMS = st.one_of(
    st.integers(),
    st.text(max_size=30),
    st.binary(max_size=60),
    st.frozensets(st.integers(0, 5), max_size=3),
    st.lists(st.integers(), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ITEMS, max_size=60),
    st.integers(1, 20),
    st.integers(1, 400),
    st.integers(0, 1 << 30),
    st.data(),
)
def test_never_beyond_the_credit_and_never_stuck(
    items: list[object], most: int, window: int, seed: int, data: Any
) -> None:
    """In any pieces and at any pace of the reader, each item comes once, in order."""
    line = Line(STRICT.but(stream_items=most, stream_window=window))
    pair, taken, sent, is_idle = line.pair, list[object](), 0, 0
    while len(taken) < len(items):
        assert is_idle < 4, "stuck"
        act = data.draw(st.sampled_from(["send", "flush", "take", "cross"]))
        before = len(taken), sent
        if act == "send" and sent < len(items):
            if line.writer.has_room:
                line.writer.add(items[sent])
                sent += 1
            else:
                line.writer.flush()
        elif act == "flush":
            line.writer.flush()
        elif act == "take":
            taken += pair.client.streaming.take(line.incoming) or []
        else:
            pair.exchange(seed=seed)
        if act == "cross" and before == (len(taken), sent):
            # One whole round must move something.
            line.writer.flush()
            pair.exchange(seed=seed)
            batch = pair.client.streaming.take(line.incoming)
            taken += batch or []
            pair.exchange(seed=seed)
            is_idle = 0 if batch or line.writer.has_room else is_idle + 1
    assert taken == items
    assert pair.client.streaming.take(line.incoming) is None
