"""Elements of banana: the type bytes, and the bytes of numbers and of heads."""

from __future__ import annotations

import functools
import struct
from typing import Final

from jelly.atoms import UNICODE
from jelly.limits import Limits

__all__ = [
    "DOUBLE",
    "FLOAT",
    "INT",
    "INTS",
    "LIST",
    "LISTS",
    "LONGINT",
    "LONGNEG",
    "NEG",
    "STRING",
    "STRINGS",
    "TEXT",
    "TEXTS",
    "VOCAB",
    "float_bytes",
    "head",
    "int_bytes",
    "list_head",
    "string_head",
    "text_size",
]

# Those that are final are constants, or variables of C, where the compiler has seen them.
LIST: Final = 0x80
INT: Final = 0x81
STRING: Final = 0x82
NEG: Final = 0x83
FLOAT: Final = 0x84
LONGINT: Final = 0x85
LONGNEG: Final = 0x86
VOCAB: Final = 0x87
"""The type bytes."""

DOUBLE: Final = struct.Struct("!d")
"""The body of a float."""

TEXT: Final = bytes((len(UNICODE), STRING)) + UNICODE
"""The first element of the expression of a str; it is not in PB's vocabulary."""


@functools.lru_cache(16)
def text_size(limits: Limits) -> int:
    """Return the size from which a str is too long for the quick path; 0 if the tag is too long."""
    return min(0x80, limits.max_string + 1) if limits.max_string >= len(UNICODE) else 0


def head(number: int, code: int) -> bytes:
    """Return a number of at least 0 as 7-bit digits, least significant first, then a code."""
    if number < 0x80:
        return bytes((number, code))
    # Two and three digits without the loop: a list of 200,000 ints is written 1.3 times as fast.
    if number < 0x4000:
        return bytes((number & 0x7F, number >> 7, code))
    if number < 0x20_0000:
        return bytes((number & 0x7F, number >> 7 & 0x7F, number >> 14, code))
    digits = bytearray()
    while number:
        digits.append(number & 0x7F)
        number >>= 7
    digits.append(code)
    return bytes(digits)


# Nearly every number on the wire is small: a lookup in one of these tables replaces the loop.
INTS: Final = [head(number, INT) for number in range(1024)]
LISTS: Final = [head(number, LIST) for number in range(128)]
STRINGS: Final = [head(number, STRING) for number in range(128)]
TEXTS: Final = [head(2, LIST) + TEXT + start for start in STRINGS]
_LARGEST_INT: Final = (1 << 31) - 1


def int_bytes(number: int) -> bytes:
    """Return the element of an int; the caller has checked its length."""
    if 0 <= number < 1024:
        return INTS[number]
    if number >= 0:
        return head(number, INT if number <= _LARGEST_INT else LONGINT)
    # The lowest NEG is -2**31, the highest INT 2**31 - 1, as in PB.
    return head(-number, NEG if -number <= _LARGEST_INT + 1 else LONGNEG)


def float_bytes(number: float) -> bytes:
    """Return the element of a float."""
    return b"\x84" + DOUBLE.pack(number)


def string_head(length: int) -> bytes:
    """Return the head of a string of that length."""
    return STRINGS[length] if length < 128 else head(length, STRING)


def list_head(length: int) -> bytes:
    """Return the head of a list of that length."""
    return LISTS[length] if length < 128 else head(length, LIST)
