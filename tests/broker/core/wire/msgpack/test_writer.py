"""The writer of msgpack/1: messages to frames, with the limits of the reader."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.core.wire import messages
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.expressions import parse
from broker.core.wire.messages import Message
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from jelly.errors import CannotJelly, EncodeError, LimitExceeded, ProtocolError, TooLarge
from jelly.limits import Limits


def frame(*fields: Any) -> bytes:
    """One frame of fields, as another implementation would write it."""
    body = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


def read(data: bytes, limits: Limits | None = None) -> list[Message]:
    """The messages of some bytes."""
    inbox: list[Message] = []
    FrameReader(limits or Limits()).receive(data, inbox)
    return inbox


WRITER = FrameWriter(Limits())
GRAPH = [b"list", [b"set", 1]]
NO_KEYWORDS = [b"dictionary"]


def nested(levels: int) -> Any:
    """So many lists inside each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_plain_calls(number: int) -> None:
    """A call of plain values is the frame of its number; a deadline is there only if one is set."""
    call = WRITER.call
    assert call(number, 3, 5, "m", (1, "a"), {}, None) == frame(number, 3, 5, "m", [1, "a"], {})
    assert call(number, 3, 5, "m", ([1], {"a": [None]}), {"k": [2]}, 250) == frame(
        number, 3, 5, "m", [[1], {"a": [None]}], {"k": [2]}, 250
    )
    assert call(number, 3, 5, "m", (), {"k": {"l": 1.5}}, 0) == frame(
        number, 3, 5, "m", [], {"k": {"l": 1.5}}, 0
    )


def test_a_name_is_text() -> None:
    """The object's name crosses as text, an id as an int."""
    assert WRITER.call(1, 3, b"root", "m", (), {}, None) == frame(1, 3, "root", "m", [], {})
    assert WRITER.call(1, 3, 2**63 - 1, "m", (), {}, None) == frame(1, 3, 2**63 - 1, "m", [], {})


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_small_calls(number: int) -> None:
    """A call of bytes and of values that hold no other is a graph, made without a jellier."""
    made = WRITER.call(number, 3, b"root", "m", (b"x", 1, "é"), {}, 250)
    graph = [[b"tuple", b"x", 1, [b"unicode", "é".encode()]], NO_KEYWORDS]
    assert made == frame(7, number, 3, "root", "m", graph, 250)
    # A deadline that is not set is left out.
    assert WRITER.call(number, 3, 5, "m", (b"x", None), {}, None) == frame(
        7, number, 3, 5, "m", [[b"tuple", b"x", [b"None"]], NO_KEYWORDS]
    )


SHARED = [1]
NEED_A_JELLIER: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((object(),), {}),
    (([b"x"],), {}),
    (((1,),), {}),
    (({1: 2},), {}),
    ((SHARED, SHARED), {}),
    (([SHARED, SHARED],), {}),
    ((SHARED,), {"k": SHARED}),
    ((nested(7),), {}),
    ((2**64,), {}),
    (([-(2**63) - 1],), {}),
    ((b"x", 2**64), {}),
    (("\ud800",), {}),
    ((b"x", 1), {"k": 1}),
    ((1,), {"k": b"x"}),
    ((1,), {"\ud800": 1}),
    ((type("Text", (str,), {})("x"),), {}),
]


@pytest.mark.parametrize(("args", "kw"), NEED_A_JELLIER)
def test_calls_that_need_a_jellier(args: tuple[Any, ...], kw: dict[str, Any]) -> None:
    """What is shared, or of other types, or holds bytes, or is too wide, is left to a jellier."""
    assert WRITER.call(1, 3, 5, "m", args, kw, None) is None


def test_answers() -> None:
    """A plain value is an answer, a tuple of such another; what is small is a graph."""
    for value in (None, True, 5, 1.5, "é", [], [[1], {"a": 2}], {"a": [1]}, nested(6)):
        assert WRITER.answer(3, value) == frame(5, 3, value)
    for values in ((), (1, "a"), ([1], {"a": 2}), (nested(6),)):
        assert WRITER.answer(3, values) == frame(6, 3, values)
    assert WRITER.answer(3, b"x") == frame(7, 5, 3, 0, "", b"x")
    assert WRITER.answer(3, (1, b"x", "y")) == frame(
        7, 5, 3, 0, "", [b"tuple", 1, b"x", [b"unicode", b"y"]]
    )
    for other in (
        object(),
        [b"x"],
        {1: 2},
        {1},
        [SHARED, SHARED],
        ((),),
        nested(7),
        2**64,
        "\ud800",
    ):
        assert WRITER.answer(3, other) is None
    assert WRITER.answer(3, ([b"x"],)) is None
    assert WRITER.answer(3, (SHARED, SHARED)) is None
    # Small expressions of what the encoder refuses: the jellier finds a way, or says what is wrong.
    assert WRITER.answer(3, (10**30, b"x")) is None


def test_what_a_sender_makes_is_no_more_than_a_reader_takes() -> None:
    """The deepest plain values are those that the types of the reader allow."""
    for value in (nested(6), {"a": nested(5)}):
        data = (WRITER.answer(3, value) or b"") + (WRITER.answer(3, (value,)) or b"")
        data += WRITER.call(1, 3, 5, "m", (value,), {"k": nested(6)}, None) or b""
        assert len(read(data)) == 3


SENT: list[tuple[messages.Record, tuple[Any, ...]]] = [
    (messages.Version(6), (0, 6)),
    (
        messages.GraphCall(3, b"root", "m", True, GRAPH, GRAPH),
        (7, 1, 3, "root", "m", [GRAPH, GRAPH]),
    ),
    (
        messages.GraphCall(3, 5, "m", False, GRAPH, GRAPH, 250),
        (7, 2, 3, 5, "m", [GRAPH, GRAPH], 250),
    ),
    (
        messages.GraphCallToCache(3, 5, "m", True, GRAPH, GRAPH),
        (7, 3, 3, 5, "m", [GRAPH, GRAPH]),
    ),
    (
        messages.GraphCallToCache(3, 5, "m", False, GRAPH, GRAPH),
        (7, 4, 3, 5, "m", [GRAPH, GRAPH]),
    ),
    (messages.GraphAnswer(3, GRAPH), (7, 5, 3, 0, "", GRAPH)),
    (messages.GraphError(3, GRAPH), (7, 7, 3, 0, "", GRAPH)),
    (messages.Decref(1, 3), (8, 1, 3)),
    (messages.Decref(1), (8, 1, 1)),
    (messages.Decache(1, 3), (9, 1, 3)),
    (messages.Uncache(1), (10, 1)),
    (messages.Cancel(3), (11, 3)),
    (messages.Ping(7), (12, 7)),
    (messages.Pong(7), (13, 7)),
    (messages.Goodbye("closing", "bye"), (14, "closing", "bye")),
    (
        messages.GraphAnswer(3, [b"list", 2**64 - 1, -(2**63)]),
        (7, 5, 3, 0, "", [b"list", 2**64 - 1, -(2**63)]),
    ),
    (
        messages.GraphAnswer(3, 2**64),
        (7, 5, 3, 0, "", [b"int", b"18446744073709551616"]),
    ),
    (
        messages.GraphAnswer(3, [b"list", [-(2**63) - 1, 5], 1.5]),
        (7, 5, 3, 0, "", [b"list", [[b"int", b"-9223372036854775809"], 5], 1.5]),
    ),
]


@pytest.mark.parametrize(("message", "fields"), SENT)
def test_messages(message: messages.Record, fields: tuple[Any, ...]) -> None:
    """Each message is the frame that the specification shows; wide ints are digits."""
    data = WRITER.write(message)
    assert data == frame(*fields)
    assert len(read(data)) == 1


def test_expressions() -> None:
    """An expression of PB is the frame of its message, if this dialect has the message."""
    for expression in ([b"version", 6], [b"decref", 1], [b"answer", 3, GRAPH]):
        assert WRITER.write_expression(expression) == WRITER.write(parse(expression))
    for expression in ([b"ping", 7], [b"didNotUnderstand", b"ping"]):
        with pytest.raises(CannotJelly, match="msgpack/1 has no message with this command"):
            WRITER.write_expression(expression)
    with pytest.raises(ProtocolError, match=r"expected decref\(object\)"):
        WRITER.write_expression([b"decref"])


def test_text_without_a_form() -> None:
    """A lone surrogate is refused by name."""
    with pytest.raises(CannotJelly, match="lone surrogate has no UTF-8 form"):
        WRITER.write(messages.Goodbye("closing", "\ud800"))


def test_ints_that_are_too_wide() -> None:
    """An int of 448 bits crosses, one of more is refused, in a deep graph too."""
    assert len(WRITER.write_expression([b"answer", 3, 2**448 - 1])) > 100
    for value in (2**448, -(2**448), [[[2**448]]]):
        with pytest.raises(TooLarge, match=r"int of 449 bits \(max_prefix 64: 448 bits\)"):
            WRITER.write_expression([b"answer", 3, value])


LONG = "x" * 200


WAYS: list[Callable[[FrameWriter, Any], Any]] = [
    lambda writer, value: writer.call(1, 3, 5, "m", (value,), {}, None),
    lambda writer, value: writer.call(1, 3, 5, "m", (), {"k": value}, 9),
    lambda writer, value: writer.answer(3, value),
    lambda writer, value: writer.answer(3, (value,)),
    lambda writer, value: writer.broadcast(5, Broadcast("m", (value,), {}), 2),
    lambda writer, value: writer.write_expression([b"answer", 3, value]),
]


@pytest.mark.parametrize("write", WAYS)
def test_limits(write: Any) -> None:
    """What the peer's reader would refuse is refused here, whichever way it is written."""
    tight = Limits(max_expression=150)
    assert len(write(FrameWriter(Limits(max_expression=500)), LONG)) > 200
    with pytest.raises(TooLarge, match=r"bytes \(max_expression 150\); send it in pieces"):
        write(FrameWriter(tight), LONG)
    values = [1] * 60
    assert len(write(FrameWriter(Limits(max_nodes=100)), values)) > 60
    with pytest.raises(TooLarge, match=r"more than 50 nodes \(max_nodes\)"):
        write(FrameWriter(Limits(max_nodes=50)), values)


def test_limits_of_small_graphs() -> None:
    """Nor are values larger that need no jellier."""
    for write in (lambda w, v: w.call(1, 3, 5, "m", v, {}, None), lambda w, v: w.answer(3, v)):
        with pytest.raises(TooLarge, match="max_expression 150"):
            write(FrameWriter(Limits(max_expression=150)), (b"x", LONG))
        with pytest.raises(TooLarge, match="max_nodes"):
            write(FrameWriter(Limits(max_nodes=50)), (b"x", *[1] * 60))


@pytest.mark.parametrize(
    "limits",
    [Limits(max_expression=50), Limits(max_nodes=50), Limits(max_nodes=50, max_expression=55)],
)
@pytest.mark.parametrize("size", range(40, 60))
def test_both_ends_draw_the_same_line(size: int, limits: Limits) -> None:
    """A frame is made if and only if the reader of the same limits takes it."""
    for value in ("x" * size, [1] * size, [{"a": n} for n in range(size // 4)]):
        is_made = is_taken = False
        with contextlib.suppress(TooLarge):
            is_made = FrameWriter(limits).answer(3, value) == frame(5, 3, value)
        with contextlib.suppress(LimitExceeded):
            is_taken = len(read(frame(5, 3, value), limits)) == 1
        assert is_made == is_taken


def test_what_fails_has_no_effect() -> None:
    """A writer that has refused something writes the next as if it had not."""
    writer = FrameWriter(Limits(max_expression=50))
    with pytest.raises(EncodeError):
        writer.answer(3, LONG)
    assert writer.answer(3, 5) == frame(5, 3, 5)


def test_notices() -> None:
    """A call to many is a call that wants no answer, of request 0; see ``test_notice``."""
    notice = Broadcast("m", (1, [2]), {"k": 3})
    assert WRITER.broadcast(5, notice, 2) == frame(2, 0, 5, "m", [1, [2]], {"k": 3})
    assert WRITER.broadcast(b"root", notice, 2) == frame(2, 0, "root", "m", [1, [2]], {"k": 3})
    for values in ((b"x",), (object(),), (2**64,), ("\ud800",)):
        assert WRITER.broadcast(5, Broadcast("m", values, {}), 2) is None


PAGE = Path(__file__).parents[5] / "docs" / "reference" / "wire" / "msgpack.md"


def test_the_examples_of_the_specification() -> None:
    """Each example of the page is the frame of its message, byte for byte."""
    rows = PAGE.read_text("utf-8").partition("## Examples")[2].splitlines()
    shown = ["".join(re.findall(r"`([0-9a-f ]+)`", row)) for row in rows if row.endswith("` |")]
    assert [bytes.fromhex(each.replace(" ", "")) for each in shown] == [
        WRITER.write_expression([b"version", 6]),
        WRITER.call(1, 3, b"root", "echo", ("a",), {}, None),
        WRITER.answer(3, "a"),
        WRITER.write(messages.Decref(1, 3)),
        WRITER.write(messages.Ping(7)),
    ]
