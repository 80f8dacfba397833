"""Scalars that are read without an unjellier: they are what one would make."""

from __future__ import annotations

from typing import Any

import pytest

from jelly.codec import Writer
from jelly.codec.scalars import forms_of, read_scalars
from jelly.jellier import Jellier
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

VALUES: list[Any] = [
    0, 1, 127, 128, 2**14, 2**21, 2**31 - 1, 2**31, 2**63 - 1, -1, -127, -128, -(2**31), -(2**62),
    1.5, float("inf"), b"", b"x", b"message", b"x" * 127, b"x" * 128, b"x" * 200, "", "é",
    "x" * 127, "x" * 128, "x" * 200, None,
]  # fmt: skip
WITH_EACH = pytest.mark.parametrize("vocabulary", [PB_VOCABULARY, NONE_VOCABULARY])


def written(value: Any, vocabulary: Any) -> bytes:
    """The bytes of a value."""
    return Writer(Limits(), vocabulary).encode(Jellier().jelly(value))


def read(data: bytes, count: int, vocabulary: Any) -> tuple[int, list[Any]]:
    """Where the scalars of some bytes end, and their values."""
    values: list[Any] = []
    return read_scalars(data, 2, count, forms_of(vocabulary), 200, values), values


@WITH_EACH
def test_all_scalars(vocabulary: Any) -> None:
    """One after the other, each has its value and its type."""
    data = b"".join(written(value, vocabulary) for value in VALUES)
    stop, values = read(b"\x01\x80" + data + b"\x01", len(VALUES), vocabulary)
    assert (stop, values) == (2 + len(data), VALUES)
    assert [*map(type, values)] == [*map(type, VALUES)]


@WITH_EACH
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_is_not_complete(value: Any, vocabulary: Any) -> None:
    """The position is -1 then, or behind the end; no error is raised."""
    data = b"\x01\x80" + written(value, vocabulary)
    for size in range(2, len(data)):
        stop, _ = read(data[:size], 1, vocabulary)
        assert stop == -1 or stop > size


@WITH_EACH
@pytest.mark.parametrize(
    "element",
    [
        b"\x80", b"\x01\x80\x01\x81", b"\x02\x80\x07\x82unicode\x01\x82\xff",
        b"\x02\x80\x07\x82unicode\x01\x81", b"\x02\x80\x07\x82unicode\x81\x82" + b"x" * 0x81,
        b"\x49\x01\x82" + b"x" * 201, b"\x02\x80\x07\x82unicode\x49\x01\x82" + b"x" * 201,
        b"\x02\x80\x07\x82unicode\x1a\x87", b"\x7f\x87", b"\x01\x88", b"\x01" * 10 + b"\x81",
    ],
)  # fmt: skip
def test_what_is_no_short_scalar(element: bytes, vocabulary: Any) -> None:
    """Lists, malformed strs, words as strs, long strings, unknown types and long ints are left."""
    assert read(b"\x01\x80" + element + b"\x01\x81", 1, vocabulary)[0] == -1
