"""msgpack/1: plain values as they are, the rest as graphs, and no frame that does harm."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from broker.core.msgpack import FrameReader, FrameWriter, Plain, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import ROOT, SessionPair

from broker.core import messages
from broker.core.dialects import MSGPACK, PB
from broker.core.events import CallCancelled, PeerLeaves
from broker.flavors.referenceable import Referenceable
from jelly.errors import LimitExceeded, ProtocolError, TooLarge
from jelly.limits import Limits


class Echo(Referenceable):
    """Returns what it gets, and keeps what it is told to."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept.append(value)

    async def remote_wait(self) -> None:
        """Never begin: the test answers."""


def ours(root: Any = None, **options: Any) -> SessionPair:
    """Two sessions that speak msgpack/1."""
    return SessionPair(root or Echo(), offered=(MSGPACK,), **options)


def frame(*fields: Any) -> bytes:
    """One frame of fields, as another implementation would write it."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def cyclic() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


SHARED = [1]
PLAIN = [None, True, 5, -5, 1.5, "é", [], {}, [1, "a", [None]], {"a": {"b": [1.5]}}, (1, [2]), ()]
GRAPHS = [
    b"bytes",
    [b"bytes"],
    [(1, 2)],
    {1: 2},
    {(1,): 2},
    {1, 2},
    frozenset("ab"),
    2**64,
    -(2**63) - 1,
    [2**200],
    Decimal("1.50"),
    Decimal("-" + "9" * 40 + ".50"),
    dt.datetime(2020, 1, 2, 3, 4, 5, 6),
    dt.timedelta(1, 2, 3),
    [SHARED, SHARED],
    [[[[[[[1]]]]]]],
    {"a": (b"x", 2**70)},
]


@pytest.mark.parametrize("value", PLAIN)
def test_plain(value: Any) -> None:
    """A tree of plain values crosses as it stands."""
    assert plain(value) == Plain(value)


@pytest.mark.parametrize("value", [v for v in GRAPHS if type(v) is not int and v != [2**200]])
def test_not_plain(value: Any) -> None:
    """What msgpack would change, or share, or cannot hold, is no plain value."""
    assert plain(value) is None


@pytest.mark.parametrize("value", PLAIN + GRAPHS)
def test_the_same_arrives(value: Any) -> None:
    """Each value arrives equal and of the same types, as it does in pb."""
    here = ours().call("echo", value)
    there = SessionPair(Echo(), offered=(PB,)).call("echo", value)
    assert (here, repr(here)) == (there, repr(there)) == (value, repr(value))


def test_sharing_and_cycles_arrive() -> None:
    """What is shared is shared there, and a cycle is a cycle."""
    first, second = ours().call("echo", [SHARED, SHARED])
    assert first is second
    value = ours().call("echo", cyclic())
    assert value[0] is value


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**100), 2**100), st.floats(allow_nan=False),
    st.text(max_size=5), st.binary(max_size=5),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(-5, 5)), inner, max_size=3),
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=150)
@given(VALUES)
def test_random_values_are_the_same_in_both(value: Any) -> None:
    """No value tells the dialects apart."""
    here = ours().call("echo", value)
    there = SessionPair(Echo(), offered=(PB,)).call("echo", value)
    assert repr(here) == repr(there) == repr(value)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_any_pieces(chunk: int) -> None:
    """The pieces in which frames arrive make no difference."""
    stream = b"".join([frame(12, n) for n in range(20)] + [frame(5, 1, "x" * 500)])
    reader, found = FrameReader(Limits()), []
    for start in range(0, len(stream), chunk):
        reader.feed(stream[start : start + chunk])
        found += reader.read()
    assert found == [*map(messages.Ping, range(20)), messages.Answer(1, Plain("x" * 500))]
    assert reader.is_between_expressions


MALFORMED = [
    frame(),
    frame(99, 1),
    frame(1),
    frame(1, 1, "root", "echo", [], {}, 5, 6),
    frame(1, -1, "root", "echo", [], {}),
    frame(1, 2**63, "root", "echo", [], {}),
    frame(1, 1, "root", 5, [], {}),
    frame(1, 1, "root", "x" * 129, [], {}),
    frame(1, 1, "root", "echo", {}, {}),
    frame(1, 1, "root", "echo", [b"x"], {}),
    frame(1, 1, "root", "echo", [{1: 2}], {}),
    frame(1, 1, "root", "echo", [], {1: 2}),
    frame(8, 1, 0),
    frame(8, 1, -5),
    frame(8, "root", 1),
    frame(7, 99, 1, 0, "", 5),
    frame(7, 1, 1, "root", "echo", 5),
    frame(7, 1, 1, "root", "echo", {"a": 1}),
    b"\0\0\0\4abcd",
    b"\0\0\0\1\xc1",
    b"\0\0\0\2\x91\x91",
    b"\0\0\0\0",
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_frames(data: bytes) -> None:
    """A frame that is no message is one ProtocolError, after the messages before it."""
    reader = FrameReader(Limits())
    reader.feed(frame(12, 1) + data + frame(12, 2))
    assert reader.read() == [messages.Ping(1)]
    with pytest.raises(ProtocolError, match="malformed message"):
        reader.read()
    with pytest.raises(RuntimeError, match="decoder already failed"):
        reader.read()


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 255))
def test_mutated_frames(noise: bytes, where: int, byte: int) -> None:
    """Whatever arrives, only a ProtocolError comes of it."""
    good = frame(7, 1, 1, "root", "echo", [[b"tuple", 1, [b"unicode", b"x"]], [b"dictionary"]])
    body = bytearray(good[4:])
    body[where % len(body)] = byte
    data = len(body).to_bytes(4, "big") + bytes(body)
    for stream in (data, len(noise).to_bytes(4, "big") + noise):
        reader = FrameReader(Limits())
        reader.feed(stream)
        with contextlib.suppress(ProtocolError):
            reader.read()


def test_a_tuple_is_no_key() -> None:
    """Arrays are refused as keys while decoding: no chosen hashes meet in one dict."""
    body = b"\x96\x01\x01\xa4root\xa4echo\x91\x81\x92\x01\x02\x03\x80"
    reader = FrameReader(Limits())
    reader.feed(len(body).to_bytes(4, "big") + body)
    with pytest.raises(ProtocolError, match="Expected `str`, got `array` - at `key`"):
        reader.read()


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa0"])
def test_nesting_is_bounded_by_the_types(head: bytes) -> None:
    """A million levels cost no frame of Python's, nor of C's."""
    body = b"\x93\x05\x01" + head * 1_000_00 + b"\x01"
    reader = FrameReader(Limits())
    reader.feed(len(body).to_bytes(4, "big") + body)
    with pytest.raises(ProtocolError, match="malformed message"):
        reader.read()


def test_a_long_frame_is_refused_at_its_head() -> None:
    """Nothing of a frame beyond max_expression is waited for."""
    reader = FrameReader(Limits())
    reader.feed((16 * 1024 * 1024 + 1).to_bytes(4, "big"))
    with pytest.raises(LimitExceeded, match=r"larger than 16777216 bytes \(max_expression\)"):
        reader.read()


@pytest.mark.parametrize("element", [b"\x90", b"\x80", b"\x01", b"\xa0", b"\xcd\xff\xff", b"\xc0"])
def test_what_a_frame_costs(element: bytes) -> None:
    """16 MiB of small elements are refused in a second, and before they take any memory."""
    count = (16 * 1024 * 1024 - 16) // len(element)
    body = b"\x93\x05\x01\xdd" + count.to_bytes(4, "big") + element * count
    reader = FrameReader(Limits())
    reader.feed(len(body).to_bytes(4, "big") + body)
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(LimitExceeded, match=r"more than 1000000 nodes \(max_nodes\)"):
        reader.read()
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()
    # Tracing makes it several times slower than it is.
    assert time.process_time() - start < 5


def test_long_bytes_cross() -> None:
    """One value may be as long as a frame; 16 MiB of bytes are few nodes."""
    value = bytes(10 * 1024 * 1024)
    assert ours().call("echo", value) == value
    with pytest.raises(TooLarge, match="send it in pieces"):
        ours().client.call(b"message", ROOT, "echo", (bytes(17 * 1024 * 1024),), {})
    with pytest.raises(TooLarge, match="max_nodes"):
        ours().client.call(b"message", ROOT, "echo", ([0] * 1_000_001,), {})


def test_a_deep_value_fails_at_its_sender() -> None:
    """What the peer would refuse is refused here, and nothing is written."""
    value: list[Any] = []
    for _ in range(101):
        value = [value]
    pair = ours()
    with pytest.raises(TooLarge, match="nesting deeper than 100"):
        pair.client.call(b"message", ROOT, "echo", (value,), {})
    assert pair.client.data_to_send() == b""
    assert pair.call("echo", 5) == 5


def test_receptions_are_released_with_a_count() -> None:
    """Three receptions are let go by one message."""
    root = Echo()
    pair = ours(root)
    mine = Echo()
    for _ in range(3):
        pair.call("keep", mine)
    root.kept.clear()
    before = len(pair.wire["server"])
    pair.exchange()
    assert pair.wire["server"][before:] == frame(8, 1, 3)
    assert len(pair.client.translator.exports) == 0


def test_cancel() -> None:
    """A call that is given up is said so, once; the peer's answer to it is dropped."""
    pair = ours()
    request_id = pair.client.call(b"message", ROOT, "wait", (), {})
    pair.exchange()
    call = pair.server_host.pending()
    call_result = pair.server_host.events[-1].result
    pair.client.abandon(request_id)
    pair.client.abandon(request_id)
    pair.exchange()
    assert pair.server_host.of(CallCancelled) == [CallCancelled(call)]
    pair.server.finish(call, 5)
    pair.exchange()
    assert pair.client_host.events == []
    call_result.close()


def test_a_deadline_is_told() -> None:
    """The peer learns how long the caller waits; in pb it does not."""
    for dialect, told in ((MSGPACK, 1500), (PB, None)):
        pair = SessionPair(Echo(), offered=(dialect,))
        pair.client.call(b"message", ROOT, "wait", (), {}, deadline=1500)
        pair.exchange()
        assert pair.server_host.pending().deadline == told
        pair.server_host.events[-1].result.close()


def test_ping_and_goodbye() -> None:
    """A ping is answered; a goodbye says why."""
    pair = ours()
    pair.client.ping(7)
    before = len(pair.wire["server"])
    pair.exchange()
    assert pair.wire["server"][before:] == frame(13, 7)
    pair.server.say_goodbye("draining", "see you")
    pair.exchange()
    assert pair.client_host.of(PeerLeaves) == [PeerLeaves("draining", "see you")]


def test_pb_has_none_of_these() -> None:
    """In pb nothing of it is said."""
    pair = SessionPair(Echo(), offered=(PB,))
    pair.client.ping(7)
    pair.client.say_goodbye("a", "b")
    assert pair.client.data_to_send() == b""
    assert not pair.client.can_ping


def test_the_frames_that_are_written() -> None:
    """Each message is the frame that the specification shows."""
    writer = FrameWriter(Limits())
    args, kw = Plain((1, "a")), Plain({"k": [2]})
    graph = [b"tuple", b"x"]
    said: list[tuple[list[Any], tuple[Any, ...]]] = [
        ([b"version", 6], (0, 6)),
        (
            [b"message", 3, b"root", b"echo", 1, args, kw],
            (1, 3, "root", "echo", [1, "a"], {"k": [2]}),
        ),
        ([b"message", 3, 5, b"echo", 0, args, kw], (2, 3, 5, "echo", [1, "a"], {"k": [2]})),
        ([b"answer", 3, Plain("x")], (5, 3, "x")),
        ([b"answer", 3, Plain((1, 2))], (6, 3, [1, 2])),
        ([b"cancel", 3], (11, 3)),
    ]
    for message, fields in said:
        assert writer.encode(message) == frame(*fields)
    assert writer.encode([b"answer", 3, graph]) == frame(7, 5, 3, 0, "", graph)
    assert writer.encode([b"message", 3, 5, b"echo", 1, graph, kw, 250]) == frame(
        7, 1, 3, 5, "echo",
        [graph, [b"dictionary", [[b"unicode", b"k"], [b"list", 2]]]], 250,
    )  # fmt: skip


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wire" / "msgpack.md"


def test_the_examples_of_the_specification() -> None:
    """Each example of the page is the frame of its message, byte for byte."""
    rows = PAGE.read_text("utf-8").partition("## Examples")[2].splitlines()
    frames = ["".join(re.findall(r"`([0-9a-f ]+)`", row)) for row in rows if row.endswith("` |")]
    shown = [
        [b"version", 6],
        [b"message", 3, b"root", b"echo", 1, Plain(("a",)), Plain({})],
        [b"answer", 3, Plain("a")],
        [b"decref", 1, 3],
        [b"ping", 7],
    ]
    writer = FrameWriter(Limits())
    assert [bytes.fromhex(f.replace(" ", "")) for f in frames] == [*map(writer.encode, shown)]
