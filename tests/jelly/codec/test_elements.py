"""Elements of banana: the bytes of numbers and heads, at each edge of the tables."""

from __future__ import annotations

import struct

import pytest

from jelly.banana import encode
from jelly.codec import float_bytes, int_bytes, list_head, string_head
from jelly.codec.elements import INT, LIST, LONGINT, LONGNEG, NEG, STRING, head, text_size
from jelly.limits import Limits


def digits(number: int) -> bytes:
    """A number as 7-bit digits, the lowest first, made one by one."""
    found = []
    while number:
        found.append(number & 127)
        number >>= 7
    return bytes(found or [0])


EDGES = [0, 1, 127, 128, 1023, 1024, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000, 2**31, 2**447]


@pytest.mark.parametrize("number", EDGES)
def test_heads(number: int) -> None:
    """Each length of a prefix has its digits, and then the code."""
    assert head(number, INT) == digits(number) + bytes([INT])
    assert string_head(number) == digits(number) + bytes([STRING])
    assert list_head(number) == digits(number) + bytes([LIST])


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (1023, INT),
        (2**31 - 1, INT),
        (2**31, LONGINT),
        (-1, NEG),
        (-(2**31), NEG),
        (-(2**31) - 1, LONGNEG),
    ],
)
def test_ints(number: int, code: int) -> None:
    """The type byte tells the sign, and whether an int has more than 32 bits."""
    assert int_bytes(number) == digits(abs(number)) + bytes([code])


def test_floats() -> None:
    """A float is eight bytes, big end first, after its type byte."""
    assert encode(1.5) == float_bytes(1.5) == b"\x84" + struct.pack("!d", 1.5)


def test_the_size_of_a_text() -> None:
    """The quick path is for texts below 128 bytes and within the limit of strings."""
    assert text_size(Limits()) == 128
    assert text_size(Limits(max_string=9)) == 10
    assert text_size(Limits(max_string=6)) == 0
