"""The reader of msgpack/1: frames in any pieces to messages, and no frame that does harm."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import units

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.core.wire import messages
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from jelly.errors import LimitExceeded, ProtocolError
from jelly.limits import Limits

LONGEST = Limits().max_expression


def of_body(body: bytes) -> bytes:
    """One frame of these bytes."""
    return len(body).to_bytes(4, "big") + body


def frame(*fields: Any) -> bytes:
    """One frame of fields, as another implementation would write it."""
    return of_body(msgspec.msgpack.encode(fields))


def read(data: bytes, limits: Limits | None = None, **options: Any) -> list[Any]:
    """The messages of some bytes."""
    inbox: list[Any] = []
    FrameReader(limits or Limits(), **options).receive(data, inbox)
    return inbox


ECHO = (3, "root", "echo")

FRAMES: list[tuple[bytes, Any]] = [
    (frame(0, 6), messages.Version(6)),
    (frame(1, *ECHO, ["a"], {}), messages.PlainCall(*ECHO, ("a",), {})),
    (frame(1, 3, 5, "m", [], {"k": 1}, 250), messages.PlainCall(3, 5, "m", (), {"k": 1}, 250)),
    (frame(1, *ECHO, [], {}, None), messages.PlainCall(*ECHO, (), {})),
    (frame(2, *ECHO, [[1]], {}), messages.PlainSend(*ECHO, ([1],), {})),
    (frame(3, 3, 5, "m", [], {}), messages.PlainCallToCache(3, 5, "m", (), {})),
    (frame(4, 3, 5, "m", [], {}), messages.PlainSendToCache(3, 5, "m", (), {})),
    (frame(5, 3, [None, True, 1.5]), messages.PlainAnswer(3, [None, True, 1.5])),
    (frame(5, 3, {"a": {"b": -5}}), messages.PlainAnswer(3, {"a": {"b": -5}})),
    (frame(6, 3, [1, [2]]), messages.PlainTuple(3, (1, [2]))),
    (frame(8, 1, 3), messages.Decref(1, 3)),
    (frame(8, 1), messages.Decref(1)),
    (frame(9, 1, 3), messages.Decache(1, 3)),
    (frame(10, 1), messages.Uncache(1)),
    (frame(11, 3), messages.Cancel(3)),
    (frame(12, 2**63 - 1), messages.Ping(2**63 - 1)),
    (frame(13, 0), messages.Pong(0)),
    (frame(14, "closing", "bye"), messages.Goodbye("closing", "bye")),
]


@pytest.mark.parametrize(("data", "message"), FRAMES)
def test_each_command(data: bytes, message: Any) -> None:
    """A frame is the record of its number, its fields in order; a tuple's values are a tuple."""
    (found,) = read(data)
    assert (type(found), found) == (type(message), message)


NO_KEYWORDS = [b"dictionary"]
DEEP = [b"list", [b"list", [b"set", 1]]]
CHANGED = (3, 4, "changed")

GRAPHS: list[tuple[int, Any, Any]] = [
    (1, [DEEP, NO_KEYWORDS], messages.GraphCall(*ECHO, True, DEEP, NO_KEYWORDS, 9)),
    (2, [DEEP, NO_KEYWORDS], messages.GraphCall(*ECHO, False, DEEP, NO_KEYWORDS, 9)),
    (3, [DEEP, NO_KEYWORDS], messages.GraphCallToCache(*CHANGED, True, DEEP, NO_KEYWORDS, 9)),
    (4, [DEEP, NO_KEYWORDS], messages.GraphCallToCache(*CHANGED, False, DEEP, NO_KEYWORDS, 9)),
    (5, DEEP, messages.GraphAnswer(3, DEEP)),
    (7, DEEP, messages.GraphError(3, DEEP)),
]


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize(("what", "graph", "message"), GRAPHS)
def test_graphs(what: int, graph: Any, message: Any, keeps: bool) -> None:
    """A graph is the message that its kind names, whose values are expressions."""
    head = CHANGED if what in (3, 4) else ECHO
    (found,) = read(frame(7, what, *head, graph, 9), keeps_expressions=keeps)
    assert (type(found), found) == (type(message), message)


def test_small_graphs_are_values() -> None:
    """A graph of a few values that hold no other is a message of values at once."""
    small = [b"tuple", 1, b"x", [b"unicode", b"y"]]
    assert read(
        frame(7, 1, *ECHO, [small, NO_KEYWORDS]) + frame(7, 4, 3, 5, "m", [small, NO_KEYWORDS])
        + frame(7, 5, 3, 0, "", small) + frame(7, 5, 4, 0, "", b"x")
    ) == [
        messages.PlainCall(*ECHO, (1, b"x", "y"), {}),
        messages.PlainSendToCache(3, 5, "m", (1, b"x", "y"), {}),
        messages.PlainAnswer(3, (1, b"x", "y")),
        messages.PlainAnswer(4, b"x"),
    ]  # fmt: skip


def test_all_are_expressions_where_hooks_know_nothing_else() -> None:
    """A reader that keeps expressions turns plain values into them."""
    small = [b"tuple", 1, b"x"]
    data = frame(1, *ECHO, [[1]], {"k": 2}, 9) + frame(4, 3, 5, "m", [], {}) + frame(5, 3, None)
    data += frame(6, 3, [True]) + frame(7, 5, 3, 0, "", small) + frame(12, 3)
    keywords = [b"dictionary", [[b"unicode", b"k"], 2]]
    assert read(data, keeps_expressions=True) == [
        messages.GraphCall(*ECHO, True, [b"tuple", [b"list", 1]], keywords, 9),
        messages.GraphCallToCache(3, 5, "m", False, [b"tuple"], [b"dictionary"]),
        messages.GraphAnswer(3, [b"None"]),
        messages.GraphAnswer(3, [b"tuple", [b"boolean", b"true"]]),
        messages.GraphAnswer(3, small),
        messages.Ping(3),
    ]


STREAM = b"".join([frame(12, n) for n in range(20)] + [frame(5, 1, "x" * 500), frame(8, 1, 2)])
IN_STREAM = [*map(messages.Ping, range(20)), messages.PlainAnswer(1, "x" * 500)]
IN_STREAM.append(messages.Decref(1, 2))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 100, 1000])
def test_any_pieces(size: int) -> None:
    """The pieces in which frames arrive make no difference."""
    reader, inbox = FrameReader(Limits()), []
    for start in range(0, len(STREAM), size):
        reader.receive(STREAM[start : start + size], inbox)
    assert inbox == IN_STREAM
    assert reader.is_between_expressions


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cuts(cuts: list[int]) -> None:
    """Nor do pieces of different sizes, or empty ones; a message is there with its last byte."""
    reader, inbox = FrameReader(Limits()), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, stop in itertools.pairwise(edges):
        reader.receive(STREAM[start:stop], inbox)
        whole, size = 0, 0
        while (
            size + 4 <= stop and size + 4 + int.from_bytes(STREAM[size : size + 4], "big") <= stop
        ):
            size += 4 + int.from_bytes(STREAM[size : size + 4], "big")
            whole += 1
        assert len(inbox) == whole
        assert reader.is_between_expressions == (size == stop)
    assert inbox == IN_STREAM


MALFORMED = [
    frame(),
    frame(99, 1),
    frame("call", 1),
    frame(1),
    frame(1, *ECHO, [], {}, 5, 6),
    frame(1, -1, "root", "echo", [], {}),
    frame(1, 2**63, "root", "echo", [], {}),
    frame(1, True, "root", "echo", [], {}),
    frame(1, 1, 1.0, "echo", [], {}),
    frame(1, 1, b"root", "echo", [], {}),
    frame(1, 1, "x" * 129, "echo", [], {}),
    frame(1, 1, "root", 5, [], {}),
    frame(1, 1, "root", b"echo", [], {}),
    frame(1, 1, "root", "x" * 129, [], {}),
    frame(1, *ECHO, {}, {}),
    frame(1, *ECHO, [], []),
    frame(1, *ECHO, [b"x"], {}),
    frame(1, *ECHO, [{1: 2}], {}),
    frame(1, *ECHO, [{b"x": 2}], {}),
    frame(1, *ECHO, [], {1: 2}),
    frame(1, *ECHO, [], {None: 2}),
    frame(1, *ECHO, [], {}, -1),
    frame(1, *ECHO, [[[[[[[[]]]]]]]], {}),
    frame(3, 3, "root", "m", [], {}),
    frame(5, 1, b"x"),
    frame(6, 1, 5),
    frame(8, 1, 0),
    frame(8, 1, -5),
    frame(8, 1, 2**31),
    frame(8, "root", 1),
    frame(9, -1, 1),
    frame(12, -1),
    frame(14, "x" * 1025, ""),
    frame(14, "x"),
    frame(7, 3, 1, "root", "m", [[b"tuple"], [b"dictionary"]]),
    frame(7, 4, 1, "", "m", [[b"tuple"], [b"dictionary"]]),
    frame(7, 99, *ECHO, 5),
    frame(7, 0, *ECHO, 5),
    frame(7, 6, 1, 0, "", 5),
    frame(7, 1, *ECHO, 5),
    frame(7, 1, *ECHO, [5]),
    frame(7, 1, *ECHO, [5, 6, 7]),
    frame(7, 1, *ECHO, {"a": 1}),
    frame(7, 5, 1, 0, "", "text"),
    frame(7, 5, 1, 0, "", None),
    b"\0\0\0\4abcd",
    b"\0\0\0\1\xc1",
    b"\0\0\0\2\x91\x91",
    b"\0\0\0\3\x92\x0c\xa1",
    b"\0\0\0\4\x92\x0c\x01\x01",
    b"\0\0\0\4\x93\x05\x01\xa1",
    b"\0\0\0\5\x93\x05\x01\xa1\xff",
    b"\0\0\0\0",
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_frames(data: bytes) -> None:
    """A frame that is no message is one ProtocolError, after the messages before it."""
    reader, inbox = FrameReader(Limits()), []
    with pytest.raises(ProtocolError, match=r"^malformed message: "):
        reader.receive(frame(12, 1) + data + frame(12, 2), inbox)
    assert inbox == [messages.Ping(1)]
    with pytest.raises(RuntimeError, match="decoder already failed"):
        reader.receive(b"", inbox)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 40), st.integers(0, 255), st.booleans())
def test_mutated_frames(noise: bytes, where: int, byte: int, keeps: bool) -> None:
    """Whatever arrives, only a ProtocolError comes of it."""
    good = frame(7, 1, *ECHO, [[b"tuple", 1, [b"unicode", b"x"]], NO_KEYWORDS])
    body = bytearray(good[4:])
    body[where % len(body)] = byte
    for data in (bytes(body), noise, b"\x97\x07" + noise):
        with contextlib.suppress(ProtocolError):
            read(of_body(data), keeps_expressions=keeps)


@pytest.mark.parametrize("key", [b"\x92\x01\x02", b"\x01", b"\xc4\x01a", b"\xc0", b"\x80"])
def test_only_text_is_a_key(key: bytes) -> None:
    """Anything else is refused while decoding: no chosen hashes meet in one dict."""
    for body in (
        b"\x96\x01\x01\xa4root\xa4echo\x91\x81" + key + b"\x03\x80",
        b"\x96\x01\x01\xa4root\xa4echo\x90\x81" + key + b"\x03",
        b"\x93\x05\x01\x81" + key + b"\x03",
    ):
        with pytest.raises(ProtocolError, match=r"Expected `str`, got `\w+` - at `key`"):
            read(of_body(body))


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa0"])
@pytest.mark.parametrize(
    "start", [b"\x93\x05\x01", b"\x96\x07\x05\x01\x00\xa0", b"\x96\x01\x01\x01\xa1m"]
)
def test_nesting_is_bounded_by_the_types(start: bytes, head: bytes) -> None:
    """A hundred thousand levels cost no frame of Python's, nor of C's."""
    with pytest.raises(ProtocolError, match="malformed message"):
        read(of_body(start + head * 100_000 + b"\x01"))


def test_how_deep_a_graph_may_be() -> None:
    """A message as deep as a sender may make it is taken, one that is deeper is not."""

    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    for what, most in ((5, 102), (1, 101)):
        for levels, fits in ((most, True), (most + 1, False)):
            inner = nested(levels) if what == 5 else [nested(levels), [b"dictionary"]]
            data = frame(7, what, *ECHO, inner)
            if fits:
                assert len(read(data)) == 1
            else:
                with pytest.raises(ProtocolError, match="malformed message"):
                    read(data)


def test_a_long_frame_is_refused_at_its_head() -> None:
    """Nothing of a frame beyond max_expression is waited for; one of just that length is."""
    inbox: list[Any] = []
    for size in (LONGEST + 1, 0xFFFFFFFF):
        with pytest.raises(LimitExceeded, match=r"larger than 16777216 bytes \(max_expression\)"):
            FrameReader(Limits()).receive(size.to_bytes(4, "big"), inbox)
    reader = FrameReader(Limits())
    reader.receive(LONGEST.to_bytes(4, "big"), inbox)
    assert not inbox
    assert not reader.is_between_expressions


def test_other_limits_later() -> None:
    """The frames that follow ``set_limits`` go by the new ones."""
    reader, inbox = FrameReader(Limits(max_expression=50)), []
    with pytest.raises(LimitExceeded):
        read(frame(5, 1, "x" * 60), Limits(max_expression=50))
    reader.set_limits(Limits(max_nodes=5, max_expression=100))
    reader.receive(frame(5, 1, "x" * 60) + frame(5, 1, [2]), inbox)
    assert inbox == [messages.PlainAnswer(1, "x" * 60), messages.PlainAnswer(1, [2])]
    with pytest.raises(LimitExceeded, match=r"more than 5 nodes \(max_nodes\)"):
        reader.receive(frame(5, 1, [2, 3]), inbox)


def array(count: int) -> bytes:
    """The head of an array."""
    return b"\xdd" + count.to_bytes(4, "big")


ANSWER = b"\x93\x05\x01"
GRAPH = b"\x96\x07\x05\x01\x00\xa0"


# A hundredth of what the policies allow; what a frame costs grows with its length and its nodes.
SCALE = 100
SMALL = Limits(max_expression=LONGEST // SCALE, max_nodes=Limits().max_nodes // SCALE)
# One such character makes a text take four bytes in memory for each of its characters.
WIDE = "\U0001f600".encode()


def text(size: int) -> bytes:
    """A string of so many bytes in UTF-8, the costliest."""
    head = bytes([0xA0 + size]) if size < 32 else bytes([0xD9, size])
    return head + WIDE + b"a" * (size - len(WIDE))


def most_of(start: bytes, element: bytes, nodes: int) -> bytes:
    """The longest array of an element, of so many nodes, that a frame may hold."""
    room = (SMALL.max_expression - 20) // len(element)
    count = min(room, (SMALL.max_nodes - 20) // nodes)
    return start + array(count) + element * count


COSTLY = {
    "texts": most_of(ANSWER, text(15), 1),
    "empty dicts": most_of(ANSWER, b"\x80", 1),
    "dicts in dicts": most_of(ANSWER, b"\x81\xa1a\x80", 3),
    **{f"dicts of {n}": most_of(ANSWER, b"\x81" + text(n) * 2, 3) for n in (10, 22, 30, 40, 60)},
    **{f"dicts of {n}, 5": most_of(ANSWER, b"\x81" + text(n) * 2, 5) for n in (22, 30, 40)},
    "too many lists": ANSWER + array(LONGEST // SCALE - 16) + b"\x90" * (LONGEST // SCALE - 16),
    "lists of one": most_of(GRAPH, b"\x91\xc4\x1e" + bytes(30), 2),
    "lists in lists": most_of(GRAPH, b"\x91\x90", 2),
    "texts of a graph": most_of(GRAPH, b"\x92\xc4\x07unicode\xc4\x20" + bytes(32), 3),
    "one text": ANSWER + b"\xdb" + (LONGEST // SCALE - 8).to_bytes(4, "big")
    + WIDE + bytes(LONGEST // SCALE - 12),
}  # fmt: skip


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY)
def test_what_the_costliest_frames_cost(body: bytes) -> None:
    """No frame takes more than ten times max_expression of memory, refused or not."""
    assert len(body) <= SMALL.max_expression
    data = of_body(body)
    pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    reader, inbox = FrameReader(SMALL), []
    # Twice: the first time fills the interpreter's own stores.
    for _ in range(2):
        inbox.clear()
        gc.collect()
        tracemalloc.start()
        with contextlib.suppress(LimitExceeded):
            reader = FrameReader(SMALL)
            for piece in pieces:
                reader.receive(piece, inbox)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 160_000_000 // SCALE


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])
def test_how_long_the_costliest_frames_take(policy: Policy) -> None:
    """A frame as long as it may be takes a second at most, refused or not."""
    count = 333_320
    taken = GRAPH + array(count) + (b"\x92\xc4\x07unicode\xc4\x20" + bytes(32)) * count
    refused = ANSWER + array(LONGEST - 16) + b"\x90" * (LONGEST - 16)
    for body, many in ((taken, 1), (refused, 0)):
        inbox: list[Any] = []

        def read(data: bytes, inbox: list[Any] = inbox) -> None:
            inbox.clear()
            with contextlib.suppress(LimitExceeded):
                reader = FrameReader(policy.limits)
                while reader.receive(data, inbox):
                    data = b""

        assert units(functools.partial(read, of_body(body)), 100) <= 100
        assert len(inbox) == many


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=5))
TREES = st.recursive(
    st.one_of(LEAVES, st.floats(allow_nan=False)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.lists(TREES, max_size=3), st.dictionaries(st.text(max_size=3), TREES, max_size=3))
def test_what_the_writer_writes_is_read(args: list[Any], kw: dict[str, Any]) -> None:
    """A call that the writer makes a frame of is that call here."""
    data = FrameWriter(Limits()).call(1, 3, 5, "m", tuple(args), kw, 9)
    if data is not None:
        assert read(data) == [messages.PlainCall(3, 5, "m", tuple(args), kw, 9)]


LONG = b"x" * 5000
PROMISE = [b"promised", 3]
EXPECTED = [
    ([[b"tuple", PROMISE], [b"dictionary"]], True),
    ([[b"tuple"], [b"dictionary", [[b"unicode", b"k"], PROMISE]]], True),
    ([[b"tuple", 5], [b"dictionary"]], False),
    ([[b"tuple", LONG, PROMISE], [b"dictionary"]], True),
    ([[b"tuple", LONG, [b"list", [b"list", PROMISE]]], [b"dictionary"]], True),
    ([[b"tuple", LONG], [b"dictionary", [[b"unicode", b"k"], PROMISE]]], True),
    ([[b"tuple", LONG, 5, 1.5], [b"dictionary"]], False),
    ([[b"tuple", LONG, *range(1000), PROMISE], [b"dictionary"]], True),
    ([[b"tuple", LONG, *range(1000)], [b"dictionary"]], False),
]


@pytest.mark.parametrize(("graph", "expected"), EXPECTED)
def test_calls_that_may_have_promises(graph: Any, expected: bool) -> None:
    """A promise is found wherever it stands, in a frame of any form and length."""
    (message,) = read(frame(7, 1, 9, 5, "m", graph))
    # One whose arguments are plain is read as a plain call, which has no promises.
    assert (isinstance(message, messages.GraphCall) and message.has_promises) is expected


class Searched(bytes):
    """Bytes that count how often they are searched."""

    times = 0

    def find(self, *args: Any) -> int:
        """Count, and search."""
        self.times += 1
        return super().find(*args)


def test_a_piece_of_bytes_is_not_searched() -> None:
    """The bytes of a long argument of a call with few elements are not looked at."""
    for argument, times in ((LONG, 0), (PROMISE, 1), ([b"list", LONG, *range(100)], 1)):
        data = Searched(frame(7, 1, 9, 5, "m", [[b"tuple", argument], [b"dictionary"]]))
        assert len(read(data)) == 1
        assert data.times == times
