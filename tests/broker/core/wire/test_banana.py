"""Messages in banana: what is written without a jellier is what one would write."""

from __future__ import annotations

import contextlib
import tracemalloc
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.effort import units

from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.core.wire import messages
from broker.core.wire.banana import BananaReader, BananaWriter
from broker.core.wire.broadcast import Broadcast
from jelly.codec import Writer
from jelly.errors import BananaError, LimitExceeded, ProtocolError, TooLarge
from jelly.jellier import Jellier
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VOCABULARIES = [PB_VOCABULARY, NONE_VOCABULARY]
with_each_vocabulary = pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=["pb", "none"])


def graph(value: Any) -> Any:
    """The expression of a value."""
    return Jellier().jelly(value)


def written(vocabulary: Any, message: Any, limits: Limits | None = None) -> bytes:
    """The bytes of an expression."""
    return Writer(limits or Limits(), vocabulary).encode(message)


def read(
    data: bytes, limits: Limits | None = None, *, vocabulary: Any, **options: Any
) -> list[Any]:
    """The messages of some bytes."""
    inbox: list[Any] = []
    BananaReader(limits or Limits(), vocabulary=vocabulary, **options).receive(data, inbox)
    return inbox


COMMANDS = {
    1: (b"message", 1, messages.PlainCall),
    2: (b"message", 0, messages.PlainSend),
    3: (b"cachemessage", 1, messages.PlainCallToCache),
    4: (b"cachemessage", 0, messages.PlainSendToCache),
}
SMALL_VALUES: list[Any] = [
    "", "é", "message", "x" * 1000, 0, 1, -1, 127, 128, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1,
    1 - 2**63, 1.5, -0.0, float("nan"), b"", b"message", b"decref", b"x" * 1000, (),
    ("a", b"b", 1, 1.5), {}, (1,) * 32,
]  # fmt: skip


@with_each_vocabulary
@pytest.mark.parametrize("number", COMMANDS)
@pytest.mark.parametrize("object_id", [5, 2**31, b"root", b"message"])
def test_calls(number: int, object_id: Any, vocabulary: Any) -> None:
    """A call is written as the expression of its message would be, and is read as it was."""
    command, flag, kind = COMMANDS[number]
    call = BananaWriter(Limits(), vocabulary=vocabulary).call
    for value in SMALL_VALUES:
        if type(value) in (tuple, dict):
            continue
        args = (value, 1)
        data = call(number, 3, object_id, "décache", args, {}, 250)
        message = [command, 3, object_id, "décache".encode(), flag, graph(args), graph({})]
        assert data == written(vocabulary, message)
        if type(object_id) is int or number < 3:
            (found,) = read(data or b"", vocabulary=vocabulary)
            assert type(found) is kind
            assert repr((found.args, found.kw)) == repr((args, {}))
            assert (found.request_id, found.object_id, found.deadline) == (3, object_id, None)


@with_each_vocabulary
@pytest.mark.parametrize("value", SMALL_VALUES, ids=lambda value: repr(value)[:20])
def test_answers(value: Any, vocabulary: Any) -> None:
    """An answer is written as the expression of its message would be, and is read as it was."""
    data = BananaWriter(Limits(), vocabulary=vocabulary).answer(3, value)
    assert data == written(vocabulary, [b"answer", 3, graph(value)])
    (found,) = read(data or b"", vocabulary=vocabulary)
    assert (type(found), found.request_id) == (messages.PlainAnswer, 3)
    assert repr(found.value) == repr(value)


NEED_A_JELLIER = [
    None, True, [], [1], {"a": 1}, {1}, object(), 2**63, -(2**63), 2**448, "\ud800", "x" * 700_000,
    b"x" * 700_000, type("Text", (str,), {})("x"), type("Number", (int,), {})(1),
]  # fmt: skip


@pytest.mark.parametrize("value", NEED_A_JELLIER, ids=lambda value: repr(value)[:20])
def test_what_needs_a_jellier(value: Any) -> None:
    """All else is left to it; so is a call with keywords, or with many arguments."""
    writer = BananaWriter(Limits(), vocabulary=PB_VOCABULARY)
    call = partial(writer.call, 1, 3, 5, "m")
    assert writer.answer(3, value) is None
    assert writer.answer(3, (1, value)) is None
    assert call((value,), {}, None) is None
    assert call((1, value), {}, None) is None
    assert call((1,), {"k": 1}, None) is None
    assert call(((1,),), {}, None) is None
    assert call(({},), {}, None) is None
    assert call((1,) * 33, {}, None) is None
    assert writer.answer(3, (1,) * 33) is None
    assert writer.answer(3, ((1,),)) is None


ROOMY = [
    Limits(max_prefix=9), Limits(max_prefix=10),
    Limits(max_depth=4, max_list=65, max_nodes=65, max_string=128, max_expression=1024),
]  # fmt: skip
TIGHT = [
    Limits(max_depth=3), Limits(max_list=64), Limits(max_nodes=64), Limits(max_string=10),
    Limits(max_expression=40), Limits(max_string=127), Limits(max_expression=1023),
]  # fmt: skip


@with_each_vocabulary
@pytest.mark.parametrize("limits", ROOMY + TIGHT)
def test_limits(limits: Limits, vocabulary: Any) -> None:
    """What is written without a jellier is within the limits: the reader takes it."""
    writer = BananaWriter(limits, vocabulary=vocabulary)
    values = [
        n * text
        for n in (1, 9, 10, 11, 20, 40, 127, 128, 129, 500, 513)
        for text in ("x", b"x", "é")
    ]
    values += [2**n - 1 for n in (7, 14, 15, 62, 63)] + [-(2**13), (1,) * 32, ("x", b"y", 2**40)]
    count = 0
    for value in values:
        args = value if type(value) is tuple else (value,)
        for data in (
            writer.answer(3, value),
            writer.call(1, 3, 5, "m", args, {}, None),
            writer.call(1, 3, b"x" * 128, "é" * 64, args, {}, None),
        ):
            if data is not None:
                count += 1
                read(data, limits, vocabulary=vocabulary)
    # Where the limits are hardly large enough for anything, all of it is left to the encoder.
    assert (count > 20) == (limits in ROOMY)


def test_expressions() -> None:
    """Any expression is written, within the limits."""
    writer = BananaWriter(Limits(max_string=7), vocabulary=PB_VOCABULARY)
    assert writer.write_expression([b"none", 7]) == written(PB_VOCABULARY, [b"none", 7])
    with pytest.raises(TooLarge):
        writer.write_expression([b"12345678"])


@with_each_vocabulary
def test_notices(vocabulary: Any) -> None:
    """A call to many is a call that wants no answer; with keywords it needs a jellier."""
    writer = BananaWriter(Limits(), vocabulary=vocabulary)
    data = writer.broadcast(5, Broadcast("m", (1, "x"), {}), 2)
    (found,) = read(data or b"", vocabulary=vocabulary)
    assert type(found) is messages.PlainSend
    assert (found.object_id, found.name, found.args) == (5, "m", (1, "x"))
    assert writer.broadcast(5, Broadcast("m", (1,), {"k": 1}), 2) is None
    assert writer.broadcast(5, Broadcast("m", ([],), {}), 2) is None


CALL = [b"message", 3, b"root", b"m", 1, [b"tuple", 1, [b"list", 2]], [b"dictionary"]]


def test_values_and_expressions() -> None:
    """Small graphs become values; larger ones, and all where hooks want them, stay expressions."""
    small = [b"message", 3, 5, b"m", 1, [b"tuple", 1], [b"dictionary"]]
    data = written(PB_VOCABULARY, small) + written(PB_VOCABULARY, CALL)
    data += written(PB_VOCABULARY, [b"answer", 3, b"x"]) + written(PB_VOCABULARY, [b"uncache", 1])
    large = messages.GraphCall(3, b"root", "m", True, CALL[5], CALL[6])
    assert read(data, vocabulary=PB_VOCABULARY) == [
        messages.PlainCall(3, 5, "m", (1,), {}),
        large,
        messages.PlainAnswer(3, b"x"),
        messages.Uncache(1),
    ]
    assert read(data, vocabulary=PB_VOCABULARY, keeps_expressions=True) == [
        messages.GraphCall(3, 5, "m", True, [b"tuple", 1], [b"dictionary"]),
        large,
        messages.GraphAnswer(3, b"x"),
        messages.Uncache(1),
    ]
    assert read(data, vocabulary=PB_VOCABULARY, make=lambda each: each[0]) == [
        b"message", b"message", b"answer", b"uncache",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_any_pieces(size: int) -> None:
    """The pieces in which messages arrive make no difference."""
    data = b"".join(written(PB_VOCABULARY, [b"uncache", n]) for n in range(200))
    data += written(PB_VOCABULARY, CALL)
    reader, inbox = BananaReader(Limits(), vocabulary=PB_VOCABULARY), []
    for start in range(0, len(data), size):
        reader.receive(data[start : start + size], inbox)
    assert inbox[:-1] == [*map(messages.Uncache, range(200))]
    assert inbox[-1].args == CALL[5]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (5, "expected a list that starts with a command"),
        ([], "expected a list that starts with a command"),
        ([b"answer", 1], r"expected answer\(id, value\)"),
        ([b"answer", -1, 1], r"expected answer\(id, value\)"),
        ([b"uncache", b"x"], r"expected uncache\(cache\)"),
        ([b"x" * 129], "a command of more than 128 bytes"),
    ],
)
@pytest.mark.parametrize("keeps", [False, True])
def test_malformed_messages(expression: Any, text: str, keeps: bool) -> None:
    """An expression that is no message is a ProtocolError, after the messages before it."""
    reader = BananaReader(Limits(), keeps, vocabulary=PB_VOCABULARY)
    inbox: list[Any] = []
    good = written(PB_VOCABULARY, [b"uncache", 1])
    with pytest.raises(ProtocolError, match=f"^malformed message: {text}"):
        reader.receive(good + written(PB_VOCABULARY, expression) + good, inbox)
    assert inbox == [messages.Uncache(1)]


def test_bytes_that_are_no_banana() -> None:
    """They are a fault after the messages before them, and then the reader is dead."""
    reader = BananaReader(Limits(), vocabulary=PB_VOCABULARY)
    inbox: list[Any] = []
    with pytest.raises(BananaError):
        reader.receive(written(PB_VOCABULARY, [b"uncache", 1]) + b"\x01\xff", inbox)
    assert inbox == [messages.Uncache(1)]
    with pytest.raises(RuntimeError, match="decoder already failed"):
        reader.receive(written(PB_VOCABULARY, [b"uncache", 1]), inbox)


def test_other_limits_later() -> None:
    """The messages that follow ``set_limits`` go by the new ones."""
    reader = BananaReader(Limits(), vocabulary=PB_VOCABULARY)
    inbox: list[Any] = []
    reader.receive(written(PB_VOCABULARY, [b"answer", 1, b"123456"]), inbox)
    reader.set_limits(Limits(max_string=5))
    with pytest.raises(LimitExceeded, match="max_string"):
        reader.receive(written(PB_VOCABULARY, [b"answer", 2, b"123456"]), inbox)
    assert inbox == [messages.PlainAnswer(1, b"123456")]


SCALE = 100


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED], ids=["strict", "published"])
@pytest.mark.parametrize(
    "element",
    [b"\x80", b"\x01\x80\x80", b"\x01\x81", b"\x82", b"\x0e\x82" + b"x" * 14, b"\x01\x87"],
    ids=["lists", "lists of one", "ints", "strings", "longer strings", "words"],
)
def test_what_a_message_costs(element: bytes, policy: Policy) -> None:
    """No message takes more than ten times max_expression of memory, refused or not."""
    # A hundredth of what the policies allow; the cost grows with length and nodes.
    limits = Limits(
        max_list=policy.limits.max_list // SCALE,
        max_expression=policy.limits.max_expression // SCALE,
        max_nodes=policy.limits.max_nodes // SCALE,
    )
    inner = limits.max_nodes // 2 - 2
    head = bytes([inner & 0x7F, inner >> 7]) + b"\x80"
    data = b"\x03\x80" + written({}, b"answer") + (head + element * inner) * 2
    pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    for _ in range(2):
        reader = BananaReader(limits, vocabulary=PB_VOCABULARY)
        inbox: list[Any] = []
        tracemalloc.start()
        with contextlib.suppress(ProtocolError):
            for piece in pieces:
                reader.receive(piece, inbox)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 160_000_000 // SCALE


def test_how_long_a_message_takes() -> None:
    """A message of as many nodes as it may have takes a second."""
    count = 600_000
    head = bytes([count & 0x7F, count >> 7 & 0x7F, count >> 14]) + b"\x80"
    data = b"\x03\x80" + written({}, b"answer") + b"\x01\x81" + head + b"\x01\x81" * count
    inbox: list[Any] = []

    def read() -> None:
        inbox.clear()
        BananaReader(Limits(), vocabulary=PB_VOCABULARY).receive(data, inbox)

    assert units(read, 100) <= 100
    assert len(inbox) == 1


FLAT = st.one_of(
    st.text(max_size=5), st.binary(max_size=5), st.floats(), st.integers(-(2**70), 2**70), st.none()
)


@settings(deadline=None)
@given(st.lists(FLAT, max_size=5), st.integers(1, 4), st.sampled_from(VOCABULARIES))
def test_random_values(values: list[Any], number: int, vocabulary: Any) -> None:
    """Whatever is written without a jellier is what one would write, and is read as it was."""
    writer = BananaWriter(Limits(), vocabulary=vocabulary)
    args = tuple(values)
    data = writer.call(number, 3, 5, "m", args, {}, None)
    if data is not None:
        command, flag, kind = COMMANDS[number]
        assert data == written(vocabulary, [command, 3, 5, b"m", flag, graph(args), graph({})])
        (found,) = read(data, vocabulary=vocabulary)
        assert (type(found), repr(found.args)) == (kind, repr(args))
    data = writer.answer(3, args)
    if data is not None:
        assert data == written(vocabulary, [b"answer", 3, graph(args)])
