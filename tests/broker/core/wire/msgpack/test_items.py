"""The items of streams as bytes: counted at once, decoded later."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.wire.messages import ItemGraph, Items, Piece
from broker.core.wire.msgpack.items import (
    LARGEST_HEAD,
    encode_item,
    frame_size,
    framed_piece,
    items_of_graph,
    items_of_values,
    joined,
    read_graph,
    read_values,
)
from broker.core.wire.msgpack.writer import FrameWriter
from jelly.errors import ProtocolError, TooLarge
from jelly.limits import Limits

pack = msgspec.msgpack.encode
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(PLAIN, min_size=1, max_size=40), st.integers(0, 1 << 40))
def test_there_and_back(values: list[Any], number: int) -> None:
    """What is encoded item by item is decoded as the list; the size of the frame is known."""
    pieces = [encode_item(value) for value in values]
    if None in pieces:
        # A lone surrogate, or too deep.
        return
    message = joined(number, [piece for piece in pieces if piece is not None])
    data = bytes(message.items)
    assert items_of_values(data) == len(values)
    assert repr(read_values(data)) == repr(values)
    assert frame_size(number, len(data)) == len(FrameWriter(Limits()).write(message)) - 4


@pytest.mark.parametrize("number", [0, 127, 128, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32])
def test_sizes(number: int) -> None:
    """Each length of the number of a stream is known."""
    data = b"\x91\x01"
    for message in (Items(number, msgspec.Raw(data)), ItemGraph(number, msgspec.Raw(data))):
        assert frame_size(number, 2) == len(FrameWriter(Limits()).write(message)) - 4
    written = FrameWriter(Limits()).write(Piece(number, b"x" * 300))
    assert frame_size(number, 303) == len(written) - 4


@pytest.mark.parametrize("number", [0, 127, 128, 65535, 65536, (1 << 32) - 1, 1 << 32])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536, 70_000])
def test_a_frame_of_bytes(number: int, size: int) -> None:
    """It is what an encoder makes of the message, whoever makes it."""
    message = Piece(number, b"x" * size)
    body = pack(message)
    assert framed_piece(number, message.data) == len(body).to_bytes(4, "big") + body
    assert len(body) - size <= LARGEST_HEAD
    for limits in (Limits(), Limits(max_nodes=100)):
        assert FrameWriter(limits).write(message) == framed_piece(number, message.data)


def test_a_large_item_of_bytes_is_checked() -> None:
    """A frame is refused by its size, and not by that of the item."""
    writer = FrameWriter(Limits(max_expression=1000))
    assert len(writer.write(Piece(1, bytes(994)))) == 1004
    with pytest.raises(TooLarge):
        writer.write(Piece(1, bytes(995)))


@pytest.mark.parametrize("value", [b"bytes", (1,), {1: 2}, {1}, 1 << 64, "\ud800", [[[[[[[1]]]]]]]])
def test_what_needs_a_jellier(value: object) -> None:
    """It is not plain."""
    assert encode_item(value) is None


def test_a_large_item_needs_a_jellier() -> None:
    """It is converted in slices, so that it does not block the loop."""
    assert encode_item([0] * 20_000) is not None
    assert encode_item([0] * 20_001) is None


@pytest.mark.parametrize("count", [1, 15, 16, 256, 65_536])
def test_counts(count: int) -> None:
    """The number of items is in the head of the array, of each length."""
    assert items_of_values(pack([1] * count)) == count
    assert items_of_graph(pack([b"list", *[1] * count])) == count


@pytest.mark.parametrize(
    "data", [b"\x90", b"\xdc\x00\x00", b"\x01", b"\xa1a", b"\x81\x01\x02", b"\xc4\x01a"]
)
def test_no_items(data: bytes) -> None:
    """Another value, and an array of nothing, end the connection."""
    with pytest.raises(ProtocolError, match=r"^malformed message"):
        items_of_values(data)


@pytest.mark.parametrize(
    "expression",
    [[b"list"], [b"tuple", 1], [1, 2], [[b"list"], 1], ["list", 1], [b"lists", 1], []],
)
def test_no_list(expression: Any) -> None:
    """The items of a graph are the expression of a list with at least one item."""
    with pytest.raises(ProtocolError, match=r"^malformed message"):
        items_of_graph(pack(expression))


def test_a_head_that_is_longer_than_it_need_be() -> None:
    """A reader takes each form of a length."""
    data = b"\xdd\0\0\0\x02\xc6\0\0\0\x04list\x05"
    assert items_of_graph(data) == 1
    assert read_graph(data) == [b"list", 5]
    assert items_of_values(b"\xdc\x00\x01\x05") == 1


@pytest.mark.parametrize(
    "data", [b"\x92\x01", b"\x91\xc4\x01a", pack([[[[[[[[1]]]]]]]]), b"\x91\xc1"]
)
def test_malformed_items(data: bytes) -> None:
    """They are found when the program takes them."""
    assert items_of_values(data) > 0
    with pytest.raises(ProtocolError, match=r"^malformed message"):
        read_values(data)
    with pytest.raises(ProtocolError, match=r"^malformed message"):
        read_graph(pack([b"list", None]))
