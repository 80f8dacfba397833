"""The writer of banana: what it writes, and what it refuses for the peer."""

from __future__ import annotations

from typing import Any

import pytest

from jelly import atoms
from jelly.banana import decode, encode
from jelly.codec import Writer
from jelly.errors import EncodeError, TooLarge
from jelly.limits import Limits


def test_deep_output() -> None:
    """Encoding does not recurse, and stops at the depth that the peer would refuse."""
    expression: Any = []
    for _ in range(1_000_000):
        expression = [expression]
    with pytest.raises(TooLarge, match=r"nesting deeper than 100 \(max_depth\)"):
        encode(expression)
    data = Writer(Limits(max_depth=2_000_000, max_nodes=2_000_000), {}).encode(expression)
    assert data == b"\x01\x80" * 1_000_000 + b"\x00\x80"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (b"x" * 655_361, "bytes of 655361 (max_string 655360); send it in pieces"),
        (bytearray(655_361), "bytes of 655361 (max_string 655360); send it in pieces"),
        ([0] * 655_361, "list of 655361 elements (max_list 655360)"),
        (2**448, "int of 449 bits (max_prefix 64: 448 bits)"),
        (-(2**448), "int of 449 bits (max_prefix 64: 448 bits)"),
        ([[0] * 600_000, [0] * 600_000], "expression of 1200002 nodes (max_nodes 1000000)"),
        ([b"x" * 600_000] * 30, "expression of 18000122 bytes (max_expression 16777216)"),
    ],
)
def test_what_a_peer_would_refuse(expression: Any, text: str) -> None:
    """What is beyond the limits is not written; the text says which, and what to do."""
    with pytest.raises(TooLarge) as caught:
        encode(expression)
    assert text in str(caught.value)


@pytest.mark.parametrize("value", ["text", None, object(), {1: 2}, {1}, 1j])
def test_what_is_no_expression(value: Any) -> None:
    """Values that banana does not know are refused, alone and inside a list."""
    for expression in (value, [1, [value]]):
        with pytest.raises(EncodeError, match=f"not {type(value).__name__}$"):
            encode(expression)


def test_tuples_bools_and_buffers() -> None:
    """Tuples are written as lists, bools as ints, bytearrays and memoryviews as bytes."""
    value = (True, False, bytearray(b"ab"), memoryview(b"cd"))
    assert decode(encode(value)) == [1, 0, b"ab", b"cd"]


def test_texts_under_limits() -> None:
    """Of a text, too, no more is written than the limits allow."""
    text = [atoms.UNICODE, b"hello you"]
    assert Writer(Limits(max_string=9, max_depth=1, max_nodes=2), {}).encode(text)
    for limits, said in (
        (Limits(max_string=8), r"bytes of 9 \(max_string 8\)"),
        (Limits(max_string=6), r"bytes of 7 \(max_string 6\)"),
        (Limits(max_depth=0), r"nesting deeper than 0 \(max_depth\)"),
        (Limits(max_nodes=1), r"expression of 2 nodes \(max_nodes 1\)"),
    ):
        with pytest.raises(TooLarge, match=said):
            Writer(limits, {}).encode(text)
