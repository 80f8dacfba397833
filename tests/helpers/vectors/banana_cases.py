"""What is recorded of banana: encoder inputs, and decoder inputs in hex."""

from __future__ import annotations

import struct
from typing import Any

DIALECTS = ("pb", "none")
SIZE_LIMIT = 640 * 1024
LONGEST = 2**448 - 1
"""64 digits of 7 bits: the longest integer."""

VOCABULARY = (
    b"None class dereference reference dictionary function instance list module persistent tuple"
    b" unpersistable copy cache cached remote local lcache version login password challenge"
    b" logged_in not_logged_in cachemessage message answer error decref decache uncache"
).split()


def encoded() -> list[tuple[str, Any]]:
    """Name and expression of each encoder input; each is recorded in both dialects."""
    cases: list[tuple[str, Any]] = []
    for exponent in (0, 1, 7, 14, 21, 28, 30, 31, 32, 35, 49, 53, 62, 63, 64, 128, 447, 448):
        for step in (-1, 0, 1):
            value = 2**exponent + step
            cases.append((f"int_2^{exponent}{step:+d}", value))
            cases.append((f"int_minus_2^{exponent}{step:+d}", -value))
    cases += [(f"int_{n}", n) for n in (42, -42, 1000, -1000)]
    cases.append(("int_2^449", 2**449))
    floats = (0.0, -0.0, 1.0, -1.0, 1.5, 0.1, 1e300, -1e-300, 5e-324, 1.7976931348623157e308)
    cases += [(f"float_{f!r}", f) for f in (*floats, float("inf"), float("-inf"), float("nan"))]
    cases += [
        ("bytes_empty", b""),
        ("bytes_one", b"x"),
        ("bytes_text", b"hello"),
        ("bytes_zero", b"\0"),
        ("bytes_high", bytes(range(0x80, 0x100))),
        ("bytes_all", bytes(range(256))),
        ("bytes_127", b"a" * 127),
        ("bytes_128", b"a" * 128),
        ("bytes_16384", b"a" * 16384),
        ("bytes_longest", b"a" * SIZE_LIMIT),
        ("bytes_too_long", b"a" * (SIZE_LIMIT + 1)),
        ("bytes_not_quite_a_word", b"none"),
        ("bytes_not_in_the_vocabulary", b"unicode"),
        ("list_empty", []),
        ("list_of_empty", [[], [[]], []]),
        ("list_one", [1]),
        ("list_mixed", [1, -2, 2.5, b"three", [4, [b"list", []]], 2**40, -(2**40)]),
        ("list_deep", deep(50)),
        ("list_127", [0] * 127),
        ("list_128", [0] * 128),
        ("list_longest", [0] * SIZE_LIMIT),
        ("list_too_long", [0] * (SIZE_LIMIT + 1)),
        ("tuple_as_list", (1, (2, b"x"))),
        ("true_as_int", True),
        ("false_as_int", False),
        ("str_refused", "text"),
        ("none_refused", None),
        ("str_in_list_refused", [b"ok", "text"]),
    ]
    cases += [(f"word_{word.decode()}", word) for word in VOCABULARY]
    cases.append(("words_in_list", [b"message", 1, b"root", b"list", [b"tuple"]]))
    return cases


def deep(levels: int) -> list[Any]:
    """A list in a list, and so on."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def decoded() -> list[tuple[str, str, bytes]]:
    """Name, dialect and bytes of each decoder input that no encoder writes, or that is refused."""
    both = [
        ("nothing", b""),
        ("two_expressions", b"\x01\x81\x02\x81"),
        ("int_without_digits", b"\x81"),
        ("int_padded_1", b"\x05\x00\x81"),
        ("int_padded_to_64", b"\x05" + bytes(63) + b"\x81"),
        ("zero_padded", bytes(3) + b"\x81"),
        ("prefix_65", b"\x05" + bytes(64) + b"\x81"),
        ("prefix_65_unterminated", bytes(65)),
        ("prefix_64_unterminated", bytes(64)),
        ("int_larger_than_2^31-1", b"\x7f" * 5 + b"\x81"),
        ("int_of_448_bits", b"\x7f" * 64 + b"\x81"),
        ("longint_small", b"\x05\x85"),
        ("longint_of_448_bits", b"\x7f" * 64 + b"\x85"),
        ("longneg_small", b"\x05\x86"),
        ("longneg_of_448_bits", b"\x7f" * 64 + b"\x86"),
        ("neg_zero", b"\x00\x83"),
        ("neg_without_digits", b"\x83"),
        ("longneg_zero", b"\x00\x86"),
        ("neg_large", b"\x7f" * 6 + b"\x83"),
        ("string_length_padded", b"\x03\x00\x82abc"),
        ("string_without_digits", b"\x82"),
        ("list_without_digits", b"\x80"),
        ("list_length_padded", b"\x01\x00\x80\x07\x81"),
        ("float_with_prefix", b"\x05\x84" + struct.pack("!d", 1.5)),
        ("float_nan_payload", b"\x84" + bytes.fromhex("7ff8000000000123")),
        ("float_incomplete", b"\x84" + bytes(7)),
        ("string_incomplete", b"\x03\x82ab"),
        ("list_incomplete", b"\x02\x80\x01\x81"),
        ("string_length_at_limit", int2digits(SIZE_LIMIT) + b"\x82"),
        ("string_too_long", int2digits(SIZE_LIMIT + 1) + b"\x82"),
        ("list_length_at_limit", int2digits(SIZE_LIMIT) + b"\x80"),
        ("list_too_long", int2digits(SIZE_LIMIT + 1) + b"\x80"),
        ("length_of_448_bits", b"\x7f" * 64 + b"\x82"),
        ("good_then_too_long", b"\x01\x81" + int2digits(SIZE_LIMIT + 1) + b"\x82"),
        ("vocabulary_word_spelled_out", b"\x04\x82None"),
        ("vocabulary_0", b"\x00\x87"),
        ("vocabulary_without_digits", b"\x87"),
        ("vocabulary_1", b"\x01\x87"),
        ("vocabulary_padded", b"\x01\x00\x87"),
        ("vocabulary_31", b"\x1f\x87"),
        ("vocabulary_32", b"\x20\x87"),
        ("vocabulary_in_list", b"\x01\x80\x1a\x87"),
    ]
    both += [(f"type_byte_{byte:02x}", bytes([1, byte])) for byte in (0x88, 0x89, 0xFE, 0xFF)]
    return [(name, dialect, data) for name, data in both for dialect in DIALECTS]


def int2digits(value: int) -> bytes:
    """The base 128 digits of a length, least significant first."""
    digits = bytearray()
    while value:
        digits.append(value & 0x7F)
        value >>= 7
    return bytes(digits)
