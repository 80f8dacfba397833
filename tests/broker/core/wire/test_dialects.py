"""Dialects are records: a name, a reader and a writer for one connection.

No value tells them apart; what ``msgpack/1`` can say that PB cannot is tried here too.
"""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import slowness
from support.memory import ROOT, SessionPair

from broker.core.events import CallCancelled, PeerLeaves
from broker.core.policy import STRICT
from broker.core.wire.commands import Feature
from broker.core.wire.dialects import DIALECTS, EXPRESSION_DIALECTS, MSGPACK, NONE, PB, Dialect
from broker.core.wire.messages import Decref, Goodbye, Ping, Version
from broker.core.wire.terms import Taken, terms_of
from broker.flavors.referenceable import Referenceable
from jelly.errors import CannotJelly, LimitExceeded, ProtocolError, TooLarge
from jelly.limits import Limits

SMALL = Limits(max_string=14, max_list=3)


class Echo(Referenceable):
    """Returns what it gets, and keeps what it is told to."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def remote_keywords(self, **kw: Any) -> Any:
        """Return the keywords."""
        return kw

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept.append(value)

    async def remote_wait(self) -> None:
        """Never begin: the test answers."""


def pair_of(dialect: Dialect, root: Any = None) -> SessionPair:
    """Two sessions that speak a dialect."""
    return SessionPair(root or Echo(), offered=(dialect,))


def frame(body: bytes) -> bytes:
    """One frame of msgpack/1."""
    return len(body).to_bytes(4, "big") + body


def test_the_offer() -> None:
    """Ours is offered first, then PB's two, the one with a vocabulary before the other."""
    assert [dialect.name for dialect in DIALECTS] == [b"msgpack/1", b"pb", b"none"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_reader_and_writer(dialect: Dialect) -> None:
    """What the writer of a dialect writes, its reader reads."""
    inbox: list[Any] = []
    dialect.reader(Limits()).receive(
        dialect.writer(Limits()).write_expression([b"decref", 7]), inbox
    )
    assert inbox == [Decref(7)]


@settings(deadline=None)
@given(st.data(), st.sampled_from(DIALECTS), st.integers(0, 12), st.booleans())
def test_so_many_messages_at_a_time(
    data: st.DataObject, dialect: Dialect, count: int, is_faulty: bool
) -> None:
    """No more than asked for are read; the rest, and a fault, come when they are asked for."""
    writer, reader = dialect.writer(Limits()), dialect.reader(Limits())
    sent = [Decref(number) for number in range(count)]
    octets = b"".join(writer.write_expression([b"decref", each.object_id]) for each in sent)
    octets += b"\xff" * 70 * is_faulty
    found: list[Any] = []
    fault = None
    pieces = [octets[:5], octets[5:], *[b""] * 30]
    for piece in pieces:
        before, most = len(found), data.draw(st.integers(1, 5))
        try:
            has_more = reader.receive(piece, found, most)
        except ProtocolError as error:
            fault = error
            break
        assert len(found) - before <= most
        assert has_more or len(found) - before < most or len(found) == count
    assert found == sent
    assert (fault is not None) == is_faulty


@pytest.mark.parametrize("dialect", EXPRESSION_DIALECTS)
def test_the_limits_are_the_connections(dialect: Dialect) -> None:
    """Both ends of a dialect go by the limits that they were given."""
    writer = dialect.writer(SMALL)
    for expression in ([b"123456789012345"], [[1, 2, 3, 4]]):
        with pytest.raises(TooLarge):
            writer.write_expression(expression)
        data = dialect.writer(Limits()).write_expression(expression)
        with pytest.raises(LimitExceeded):
            dialect.reader(SMALL).receive(data, [])


def test_the_two_differ() -> None:
    """Only ``pb`` has words."""
    assert len(PB.writer(Limits()).write_expression(b"message")) == 2
    assert len(NONE.writer(Limits()).write_expression(b"message")) == 9


SHARED = [1]
VALUES: list[Any] = [
    None, True, False, 5, -5, 0, 1.5, -0.0, float("inf"), "é", "", [], {}, (), [1, "a", [None]],
    {"a": {"b": [1.5]}}, (1, [2]), b"bytes", b"", [b"bytes"], [(1, 2)], {1: 2}, {(1,): 2}, {1, 2},
    frozenset("a"), 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, [2**64], [2**200],
    -(2**447), Decimal("1.50"), dt.datetime(2020, 1, 2, 3, 4, 5, 6), dt.timedelta(1, 2, 3),
    [SHARED, SHARED], (SHARED, SHARED), [[[[[[[1]]]]]]], {"a": (b"x", 2**70)}, (b"x", 1, 1.5, "y"),
    [1] * 1000, {"class": 1, "a.b": 2, "": 3}, {None: 1, b"a": 2}, [True, 1, 1.0],
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_the_same_arrives(value: Any, dialect: Dialect) -> None:
    """Each value arrives equal and of the same types, alone, among others, and as a keyword."""
    pair = pair_of(dialect)
    assert repr(pair.call("echo", value)) == repr(value)
    assert repr(pair.call("echo", [value, 1])) == repr([value, 1])
    assert repr(pair.call("echo", value=value)) == repr(value)
    assert repr(pair.call("keywords", **{"a.b": value, "self_": 1})) == repr(
        {"a.b": value, "self_": 1}
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_not_a_number(dialect: Dialect) -> None:
    """A nan is one there, and is equal to nothing."""
    (back,) = pair_of(dialect).call("echo", [float("nan")])
    assert (type(back), back != back) == (float, True)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sharing_and_cycles_arrive(dialect: Dialect) -> None:
    """What is shared is shared there, also by two arguments, and a cycle is a cycle."""
    pair = pair_of(dialect)
    first, second = pair.call("echo", [SHARED, SHARED])
    assert first is second
    kw = pair.call("keywords", a=SHARED, b=[SHARED])
    assert kw["a"] is kw["b"][0]
    cycle: list[Any] = []
    cycle.append({"k": cycle})
    back = pair.call("echo", cycle)
    assert back[0]["k"] is back
    pair.call("keep", cycle)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**100), 2**100), st.floats(allow_nan=False),
    st.text(max_size=5), st.binary(max_size=5),
)  # fmt: skip
GRAPHS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(-5, 5)), inner, max_size=3),
        inner.map(lambda value: [value, value]),
        inner.map(lambda value: [{"again": value}, (value,)]),
    ),
    max_leaves=12,
)


def shape(value: Any, seen: dict[int, int]) -> Any:
    """A value with its types, and each container that was met before as its number."""
    kind = type(value)
    if kind not in (list, dict):
        return (
            (kind, repr(value)) if kind is not tuple else [kind, *(shape(v, seen) for v in value)]
        )
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    items = value.items() if kind is dict else value
    return [kind, *(shape(item, seen) for item in items)]


@settings(deadline=None, max_examples=60)
@given(st.lists(GRAPHS, min_size=1, max_size=3))
def test_random_graphs_are_the_same_in_all(values: list[Any]) -> None:
    """No graph tells the dialects apart: values, types, and what is shared.

    Arguments are one graph, keywords another.
    """

    class Several(Referenceable):
        args: Any
        kw: Any

        def remote_several(self, *args: Any, **kw: Any) -> Any:
            self.args, self.kw = list(args), kw
            return args

    kw = {"k": values[0], "l": [values[0]]}
    for dialect in (MSGPACK, PB):
        root = Several()
        back = pair_of(dialect, root).call("several", *values, **kw)
        assert shape(list(back), {}) == shape(values, {})
        assert shape(root.args, {}) == shape(values, {})
        assert shape(root.kw, {}) == shape(kw, {})


def test_long_values_cross() -> None:
    """In ours one value may be as long as a frame."""
    pair = pair_of(MSGPACK)
    value = bytes(10 * 1024 * 1024)
    assert pair.call("echo", value) == value
    for too_long in (bytes(17 * 1024 * 1024), "x" * (17 * 1024 * 1024)):
        with pytest.raises(TooLarge, match="send it in pieces"):
            pair.client.outgoing.call(ROOT, "echo", (too_long,), {})
    with pytest.raises(TooLarge, match="max_nodes"):
        pair.client.outgoing.call(ROOT, "echo", ([0] * 1_000_001,), {})
    assert pair.call("echo", 5) == 5


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_cannot_be_sent_fails_at_its_sender(dialect: Dialect) -> None:
    """What the peer would refuse is refused here, and nothing is written."""
    deep: list[Any] = []
    for _ in range(101):
        deep = [deep]
    pair = pair_of(dialect)
    for value, error, text in (
        (deep, TooLarge, "nesting deeper than 100"),
        (2**448, TooLarge, "449 bits"),
        ("\ud800", CannotJelly, "lone surrogate"),
        (["\ud800"], CannotJelly, "lone surrogate"),
        ({"\ud800": 1}, CannotJelly, "lone surrogate"),
        (object(), CannotJelly, "object"),
    ):
        with pytest.raises(error, match=text):
            pair.client.outgoing.call(ROOT, "echo", (value,), {})
        with pytest.raises(error, match=text):
            pair.client.outgoing.call(ROOT, "echo", (), {"value": value})
        assert pair.client.data_to_send() == b""
    assert len(pair.client.outgoing.open_calls) == 0
    assert pair.call("echo", 5) == 5


@pytest.mark.parametrize(
    ("dialect", "said"), [(MSGPACK, [b"\x93\x08\x01\x03"]), (NONE, [b"decref"] * 3)]
)
def test_receptions_are_released(dialect: Dialect, said: list[bytes]) -> None:
    """Three receptions are let go by one message in ours, by three in PB's."""
    root = Echo()
    pair = pair_of(dialect, root)
    mine = Echo()
    for _ in range(3):
        pair.call("keep", mine)
    root.kept.clear()
    before = len(pair.wire["server"])
    pair.exchange()
    released = pair.wire["server"][before:]
    assert [released.count(said[0])] == [len(said)]
    assert dialect is not MSGPACK or released == frame(said[0])
    assert len(pair.client.translator.exports) == 0


def test_cancel() -> None:
    """A call that is given up is said so, once; the peer's answer to it is dropped."""
    pair = pair_of(MSGPACK)
    request_id = pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.exchange()
    call = pair.server_host.pending()
    call_result = pair.server_host.events[-1].result
    pair.client.outgoing.abandon(request_id)
    pair.client.outgoing.abandon(request_id)
    pair.exchange()
    assert pair.server_host.of(CallCancelled) == [CallCancelled(call)]
    pair.server.finish(call, 5)
    pair.exchange()
    assert (pair.client_host.events, pair.client_host.outcomes) == ([], [])
    call_result.close()


def test_a_deadline_is_told() -> None:
    """The peer learns how long the caller waits, in a graph too; in pb it does not."""
    for dialect, told in ((MSGPACK, 1500), (PB, None)):
        for kw in ({}, {"value": {1: b"x"}}):
            pair = pair_of(dialect)

            class Slow(Referenceable):
                async def remote_wait(self, value: Any = None) -> None:
                    """Never begin."""

            pair.server.translator.exports.name(ROOT, Slow())
            pair.client.outgoing.call(ROOT, "wait", (), kw, deadline=1500)
            pair.exchange()
            assert pair.server_host.pending().due == (None if told is None else told / 1000)
            pair.server_host.events[-1].result.close()


def test_ping_and_goodbye() -> None:
    """A ping is answered; a goodbye says why."""
    pair = pair_of(MSGPACK)
    assert Feature.PING in pair.client.outbox.features
    pair.client.outbox.say(Ping(7))
    before = len(pair.wire["server"])
    pair.exchange()
    assert pair.wire["server"][before:] == frame(b"\x92\x0d\x07")
    pair.server.outbox.say(Goodbye("draining", "see you"))
    pair.exchange()
    assert pair.client_host.of(PeerLeaves) == [PeerLeaves("draining", "see you")]


def test_pb_has_none_of_these() -> None:
    """In pb nothing of it is said."""
    pair = pair_of(PB)
    pair.client.outbox.say(Ping(7))
    pair.client.outbox.say(Goodbye("a", "b"))
    request_id = pair.client.outgoing.call(ROOT, "echo", (1,), {})
    pair.exchange()
    pair.client.outgoing.abandon(request_id)
    assert pair.client.data_to_send() == b""
    assert Feature.PING not in pair.client.outbox.features


def messages_of(dialect: Dialect, sizes: list[int]) -> list[bytes]:
    """Messages with so many bytes of text."""
    writer = dialect.writer(Limits())
    return [
        writer.write_expression([b"answer", number, b"x" * size])
        for number, size in enumerate(sizes)
    ]


@settings(deadline=None)
@given(
    st.sampled_from(DIALECTS),
    st.lists(st.sampled_from([0, 0, 1, 200, 3000]), max_size=20),
    st.lists(st.tuples(st.integers(-5, 40), st.sampled_from([1, 2, 3, 64, -1])), max_size=60),
)
def test_few_at_a_time(dialect: Dialect, sizes: list[int], steps: list[tuple[int, int]]) -> None:
    """However many are read at a time, in whatever pieces: the same messages, and none is left.

    A piece of a negative size is as long as so many messages.
    """
    encoded = messages_of(dialect, sizes)
    data = b"".join(encoded)
    whole: list[Any] = []
    dialect.reader(Limits()).receive(data, whole, -1)
    reader, found, pos, has_more = dialect.reader(Limits()), [], 0, False
    for size, most in steps:
        length = size if size >= 0 else sum(map(len, encoded[:-size]))
        piece = data[pos : pos + length]
        pos += len(piece)
        before = len(found)
        has_more = reader.receive(piece, found, most)
        assert most < 0 or len(found) - before <= most
        assert 0 <= reader.pending <= pos
        assert reader.pending <= reader.held
        assert found == whole[: len(found)]
    has_more = reader.receive(data[pos:], found, 1)
    while has_more:
        has_more = reader.receive(b"", found, 1)
    assert found == whole
    assert (reader.pending, reader.held) == (0, 0)


def seconds_to_read(dialect: Dialect, size: int) -> float:
    """The seconds of a quiet machine that so many bytes of messages take, 64 at a time."""
    (message,) = messages_of(dialect, [1000])
    count = size // len(message)
    data = memoryview(message * count)
    reader, found, read = dialect.reader(Limits()), [], 0
    slow, begin = slowness(), time.thread_time()
    has_more = False
    for start in range(0, len(data), 1 << 20):
        has_more = reader.receive(bytes(data[start : start + (1 << 20)]), found, 64)
        read += len(found)
        found.clear()
    assert reader.pending > size // 4
    while has_more:
        has_more = reader.receive(b"", found, 64)
        read += len(found)
        found.clear()
    assert read == count
    return (time.thread_time() - begin) / max(slow, slowness())


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name.decode())
def test_what_waits_is_not_copied_each_time(dialect: Dialect) -> None:
    """64 MB of small messages, read a turn's worth at a time, cost twice what 32 MB do."""
    for _ in range(5):
        # A copy each time costs four times as much, in each pair; a busy moment spoils one of them.
        half, whole = (seconds_to_read(dialect, size) for size in (32_000_000, 64_000_000))
        if whole < 3 * half:
            break
    assert whole < 3 * half


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_bytes_of_the_version(dialect: Dialect) -> None:
    """They are what the writer of the dialect makes, with the terms if the dialect has them."""
    streaming = Taken(STRICT.max_streams, STRICT.stream_items, STRICT.stream_window, 64)
    for limits in (Limits(), SMALL):
        terms = terms_of(limits, streaming) if Feature.TERMS in dialect.features else None
        written = dialect.writer(Limits()).write(Version(6, terms))
        assert written == dialect.version(limits, streaming)
