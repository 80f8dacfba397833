"""The reader of banana: incremental, linear, and it checks each limit when a size is declared."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from jelly import atoms, banana
from jelly.banana import encode
from jelly.codec import Reader, Writer
from jelly.errors import BananaError, LimitExceeded
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

STREAM: list[Any] = [
    [b"message", 1, b"root", b"echo", 1, [b"tuple", -5, 1.5], [b"dictionary"]],
    b"",
    b"x" * 300,
    [[], [[]], [1, [2, [3, b"four"]], []]],
    2**447,
    -(2**31),
    -(2**31) - 1,
    0,
    127,
    128,
    2**31 - 1,
    2**31,
    -0.0,
    list(range(-300, 1500)),
]


def reader(vocabulary: Any = PB_VOCABULARY, **limits: int) -> Reader:
    """A reader with some limits changed."""
    return Reader(Limits(**limits), vocabulary)


def fed(data: bytes, chunk: int, **limits: int) -> list[Any]:
    """What a reader makes of bytes that come in pieces."""
    source, found = reader(**limits), []
    for begin in range(0, len(data), chunk):
        source.feed(data[begin : begin + chunk])
        found += source.read()
    assert source.is_between_expressions
    return found


def head(number: int, code: bytes) -> bytes:
    """A prefix and a type byte."""
    digits = b""
    while number:
        digits += bytes([number & 127])
        number >>= 7
    return digits + code


def text_of(octets: bytes) -> bytes:
    """The bytes of a str's expression, written out."""
    length = head(len(octets), banana.STRING) if octets else b"\x00\x82"
    return b"\x02\x80" + b"\x07\x82unicode" + length + octets


@pytest.mark.parametrize("vocabulary", [PB_VOCABULARY, NONE_VOCABULARY])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1448, 1 << 20])
def test_any_pieces(vocabulary: dict[bytes, int], chunk: int) -> None:
    """What was written is read, however it is cut."""
    writer = Writer(Limits(), vocabulary)
    data = b"".join(map(writer.encode, STREAM))
    source, found = Reader(Limits(), vocabulary), []
    for begin in range(0, len(data), chunk):
        source.feed(data[begin : begin + chunk])
        found += source.read()
    assert found == STREAM
    assert list(map(type, found)) == list(map(type, STREAM))
    assert source.is_between_expressions


@pytest.mark.parametrize("size", [0, 1, 9, 126, 127, 128, 129, 20_000])
def test_texts(size: int) -> None:
    """A str, which has a quick path where it is short, is an expression like any other."""
    octets = b"\xc3" * size
    assert encode([b"unicode", octets]) == text_of(octets)
    data = b"\x03\x80" + text_of(octets) * 2 + b"\x05\x81"
    for chunk in (1, 7, len(data) - 3, len(data)):
        assert fed(data, chunk) == [[[b"unicode", octets]] * 2 + [5]]


@pytest.mark.parametrize(
    "rest", [[b"list"], [5], [[]], [1.5], [b"one", b"more"], [], [[b"unicode", b"x"]], [b"unicode"]]
)
@pytest.mark.parametrize("vocabulary", [PB_VOCABULARY, NONE_VOCABULARY, {b"unicode": 1, b"x": 2}])
def test_what_only_begins_as_a_text(rest: list[Any], vocabulary: dict[bytes, int]) -> None:
    """What has the tag of a str, and is none, or has words of the vocabulary in it."""
    expression = [[atoms.UNICODE, *rest]]
    data = Writer(Limits(), vocabulary).encode(expression)
    # A tag of the application's own is not the atom, and takes the general path.
    assert data == Writer(Limits(), vocabulary).encode([[bytes(bytearray(b"unicode")), *rest]])
    for chunk in (1, len(data)):
        source, found = reader(vocabulary), []
        for begin in range(0, len(data), chunk):
            source.feed(data[begin : begin + chunk])
            found += source.read()
        assert found == [expression]


def test_texts_of_a_long_expression() -> None:
    """A text that comes again and again is kept once; others, and the next expression, are not."""
    parts: list[Any] = [
        [[b"unicode", b"name"], [b"unicode", b"%d" % (n % 700)]] for n in range(9000)
    ]
    data = Writer(Limits(), PB_VOCABULARY).encode(parts)
    found, again = fed(data * 2, 1000)
    assert found == again == parts
    names = [part[0] for part in found[4000:]]
    assert len(set(map(id, names))) < 200
    assert names[-1] is not again[-1][0]


def test_words() -> None:
    """A word of the vocabulary is two bytes, and only where both sides have it."""
    assert Writer(Limits(), PB_VOCABULARY).encode(b"message") == head(26, banana.VOCAB)
    assert Writer(Limits(), NONE_VOCABULARY).encode(b"None") == head(4, banana.STRING) + b"None"
    assert fed(head(26, banana.VOCAB), 1) == [b"message"]


def test_at_most() -> None:
    """``read(n)`` returns no more than n, and the rest later."""
    source = reader()
    source.feed(b"\x01\x81\x02\x81\x03\x81")
    assert source.read(1) == [1]
    assert source.read(2) == [2, 3]
    assert source.read() == []


def test_take_rest() -> None:
    """What was not read can be taken for another dialect's reader, once."""
    source = reader()
    source.feed(b"\x01\x81\x02\x81\x05")
    assert source.read(1) == [1]
    assert source.take_rest() == b"\x02\x81\x05"
    assert source.take_rest() == b""
    assert source.is_between_expressions


@pytest.mark.parametrize("started", [b"\x02\x80", b"\x02\x80\x01\x81", b"\x05\x82ab"])
def test_take_rest_of_a_part(started: bytes) -> None:
    """No other dialect can begin inside an expression."""
    source = reader()
    source.feed(started)
    source.read()
    assert not source.is_between_expressions
    with pytest.raises(BananaError, match="dialect changed inside an expression"):
        source.take_rest()


@pytest.mark.parametrize(
    ("data", "limits", "text"),
    [
        (head(700_000, banana.STRING), {}, "string of 700000 bytes (max_string 655360)"),
        (head(655_361, banana.LIST), {}, "list of 655361 elements (max_list 655360)"),
        (b"\x01\x80" * 101, {}, "nesting deeper than 100 (max_depth)"),
        (
            head(600, banana.STRING),
            {"max_expression": 500},
            "expression larger than 500 bytes (max_expression)",
        ),
        (
            b"\x03\x80" + b"\x64\x82" + b"x" * 100 + b"\x64\x82",
            {"max_expression": 200},
            "expression larger than 200 bytes (max_expression)",
        ),
        (b"\x05\x80" + b"\x05\x80" * 2, {"max_nodes": 12}, "expression of more than 12 nodes"),
        (b"\x05\x80" + b"\x80" * 3, {"max_nodes": 7}, "expression of more than 7 nodes"),
        (text_of(b"hello"), {"max_string": 6}, "string of 7 bytes (max_string 6)"),
        (text_of(b"hello you"), {"max_string": 8}, "string of 9 bytes (max_string 8)"),
        (b"\x01\x80" * 9 + text_of(b""), {"max_depth": 9}, "nesting deeper than 9 (max_depth)"),
        (b"\x02\x80" + text_of(b"") * 2, {"max_nodes": 5}, "expression of more than 5 nodes"),
        (text_of(b"hello"), {"max_list": 1}, "list of 2 elements (max_list 1)"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_limits(data: bytes, limits: dict[str, int], text: str, chunk: int) -> None:
    """Each limit refuses at the head that declares too much, nothing of the body being there."""
    with pytest.raises(LimitExceeded) as caught:
        fed(data, chunk, **limits)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (head(500, banana.STRING) + b"x" * 500, {"max_string": 500}),
        (b"\x05\x80" + b"\x01\x81" * 5, {"max_list": 5}),
        (b"\x01\x80" * 9 + b"\x80", {"max_depth": 10}),
        (b"\x64\x82" + b"x" * 100, {"max_expression": 102}),
        (b"\x02\x80" + b"\x02\x80\x00\x81\x00\x81" + b"\x80", {"max_nodes": 5}),
        (b"\x7f" * 64 + b"\x85", {}),
        (text_of(b"hello"), {"max_string": 7}),
        (text_of(b"hello you"), {"max_string": 9}),
        (b"\x01\x80" * 9 + text_of(b""), {"max_depth": 10}),
        (b"\x02\x80" + text_of(b"") * 2, {"max_nodes": 6}),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_as_much_as_the_limits_allow(data: bytes, limits: dict[str, int], chunk: int) -> None:
    """Exactly as much as a limit names is taken."""
    assert len(fed(data * 3, chunk, **limits)) == 3


@pytest.mark.parametrize("digits", [b"\x01" * 65, b"\x00" * 65, b"\x01" * 65 + b"\x81"])
@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
def test_long_prefixes(digits: bytes, chunk: int) -> None:
    """The 65th digit of a prefix is refused, without waiting for the type byte."""
    with pytest.raises(BananaError, match=r"^integer prefix longer than 64 bytes$"):
        fed(digits, chunk)


def test_a_megabyte_of_digits() -> None:
    """A prefix that goes on and on is given up at the limit, not at its end."""
    source = reader()
    source.feed(b"\x01" * (1 << 20))
    steps = 0

    def count(*_: Any) -> Callable[..., Any]:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        with pytest.raises(BananaError, match="prefix longer than 64"):
            source.read()
    finally:
        sys.settrace(None)
    assert steps < 10_000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x63\x87", "unknown vocabulary id 99"),
        (b"\x01" * 60 + b"\x87", "unknown vocabulary id of 414 bits"),
        (b"\x90", "unknown type byte 0x90"),
        (b"\x01\x88", "unknown type byte 0x88"),
        (b"\xff", "unknown type byte 0xff"),
    ],
)
def test_no_banana(data: bytes, text: str) -> None:
    """Bytes that mean nothing are refused, in words without the peer's value."""
    with pytest.raises(BananaError, match=f"^{text}$"):
        fed(data, 1)


def test_a_reader_that_failed_is_dead() -> None:
    """After an error nothing more is read, and asking again is a mistake of ours."""
    source = reader()
    source.feed(b"\x90")
    with pytest.raises(BananaError):
        source.read()
    source.feed(b"\x01\x81")
    with pytest.raises(RuntimeError, match="decoder already failed"):
        source.read()


def test_what_came_before_the_fault() -> None:
    """Whole expressions before a fault are returned first, in one piece as in many."""
    source = reader()
    source.feed(b"\x01\x81\x02\x81\x90\x03\x81")
    assert source.read() == [1, 2]
    with pytest.raises(BananaError, match="0x90"):
        source.read()
    with pytest.raises(RuntimeError):
        source.read()


def test_a_string_is_not_copied_as_it_comes() -> None:
    """The pieces of a long string are kept as they are, and joined once."""
    source, size = reader(), 600_000
    data = head(size, banana.STRING) + b"x" * size
    copied = 0
    for begin in range(0, len(data), 100):
        source.feed(data[begin : begin + 100])
        found = source.read()
        copied += len(source._buffer)
    assert found == [b"x" * size]
    assert copied < 2 * len(data)


@pytest.mark.parametrize("chunk", [1, 1448, 65_536])
def test_the_work_is_linear(chunk: int) -> None:
    """Twice the elements are twice the steps, whatever the pieces; a generous three at most."""

    def steps(count: int) -> int:
        data = Writer(Limits(), PB_VOCABULARY).encode([[7, b"ab"]] * count)
        source, work, found = reader(), 0, []
        for begin in range(0, len(data), chunk):
            source.feed(data[begin : begin + chunk])
            # What is looked at is what is in the buffer; what was, is not looked at again.
            work += len(source._buffer)
            found += source.read()
        assert len(found[0]) == count
        return work

    assert steps(8_000) < 3 * steps(4_000)


def test_deep_input() -> None:
    """A million open lists are refused at the hundredth; a deep expression is not recursed into."""
    with pytest.raises(LimitExceeded, match="max_depth"):
        fed(b"\x01\x80" * 1_000_000, 65_536)
    deep = b"\x01\x80" * 100_000 + b"\x80"
    (found,) = fed(deep, 65_536, max_depth=1_000_000)
    for _ in range(100_000):
        (found,) = found
    assert found == []


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_buffers(kind: Callable[[bytes], object]) -> None:
    """Any buffer can be fed, and its later changes do not matter."""
    reader = Reader(Limits(), {})
    piece = bytearray(Writer(Limits(), {}).encode([b"one", 2]))
    reader.feed(kind(piece))
    piece[:] = bytes(len(piece))
    assert reader.read() == [[b"one", 2]]


@pytest.mark.parametrize("piece", ["text", 3, None])
def test_what_is_no_buffer(piece: object) -> None:
    """What is not a buffer is a TypeError, and nothing is taken in."""
    reader = Reader(Limits(), {})
    with pytest.raises(TypeError):
        reader.feed(piece)
    assert reader.is_between_expressions
