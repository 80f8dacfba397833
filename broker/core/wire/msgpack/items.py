"""The items of streams in msgpack/1, which are kept as bytes until the program takes them.

Decoded items can take sixty times the memory of their bytes. So a frame that waits is only counted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from broker.core.wire.commands import number_of
from broker.core.wire.messages import Items, Piece
from broker.core.wire.values import GRAPH, PLAIN_SCALARS, VALUE, are_plain
from jelly.atoms import Expression
from jelly.errors import ProtocolError

__all__ = [
    "LARGEST_HEAD",
    "encode_item",
    "frame_size",
    "framed_piece",
    "items_of_graph",
    "items_of_values",
    "joined",
    "read_graph",
    "read_values",
]

LARGEST_HEAD = 16
"""Most bytes of the frame of an item of bytes besides the item and the length of the frame."""

_LIST = b"list"
# Most values in the containers of one plain item; a larger one is jellied.
_MOST_PARTS = 20_000
# The heads of arrays and of byte strings, with the number of bytes that have the length.
_ARRAYS = {0xDC: 2, 0xDD: 4}
_STRINGS = {0xC4: 1, 0xC5: 2, 0xC6: 4}
# An array of three, and the number of the message.
_PIECE = bytes((0x93, number_of(Piece)))


@functools.cache
def _decoder(is_graph: bool) -> Callable[[bytes], Any]:
    """Return the decoder of the items of one frame; made when it is first needed."""
    kind: Any = GRAPH if is_graph else list[VALUE]
    return msgspec.msgpack.Decoder(kind).decode


_encode = msgspec.msgpack.Encoder().encode


def encode_item(value: Any) -> bytes | None:
    """Return the bytes of one plain item of a stream, or None if it needs a jellier."""
    if type(value) not in PLAIN_SCALARS and not are_plain((value,), _MOST_PARTS):
        return None
    try:
        return _encode(value)
    except (OverflowError, UnicodeEncodeError):
        # An int of more than 64 bits, and a lone surrogate.
        return None


def joined(stream: int, items: Sequence[bytes]) -> Items:
    """Return the message with items of a stream, which `encode_item` has returned."""
    count = len(items)
    head = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return Items(stream, msgspec.Raw(b"".join((head, *items))))


def framed_piece(stream: int, data: bytes) -> bytes:
    """Return the frame of an item of bytes, with one copy of it; an encoder copies three times."""
    size = len(data)
    kind, width = next(each for each in _STRINGS.items() if size < 1 << 8 * each[1])
    head = b"".join((_PIECE, _encode(stream), bytes((kind,)), size.to_bytes(width, "big")))
    return b"".join(((len(head) + size).to_bytes(4, "big"), head, data))


def frame_size(stream: int, payload: int) -> int:
    """Return the size of a frame without its four bytes of length.

    Args:
        stream: the number of the stream.
        payload: the size of the items.
    """
    number = 1 if stream < 1 << 7 else 2 if stream < 1 << 8 else 3 if stream < 1 << 16 else 5
    return 2 + (9 if stream >= 1 << 32 else number) + payload


def items_of_values(data: bytes) -> int:
    """Return the number of items of a frame with plain values.

    Raises:
        ProtocolError: it is not an array with at least one item.
    """
    return _length(data)[0]


def items_of_graph(data: bytes) -> int:
    """Return the number of items of a frame with the expression of a list.

    Raises:
        ProtocolError: it is not the expression of a list with at least one item.
    """
    count, start = _length(data)
    head = data[start] if start < len(data) else 0
    size = _STRINGS.get(head, 0)
    text = data[start + 1 + size : start + 1 + size + len(_LIST)]
    if not size or int.from_bytes(data[start + 1 : start + 1 + size], "big") != len(_LIST):
        raise _malformed("the items of a stream are the expression of a list")
    if text != _LIST or count < 2:
        raise _malformed("the items of a stream are the expression of a list")
    return count - 1


def _length(data: bytes) -> tuple[int, int]:
    """Return the length of an array, and where its items begin."""
    head = data[0]
    if head & 0xF0 == 0x90:
        count, start = head & 0x0F, 1
    elif head in _ARRAYS:
        start = 1 + _ARRAYS[head]
        count = int.from_bytes(data[1:start], "big")
    else:
        raise _malformed("the items of a stream are an array")
    if not count:
        raise _malformed("no items")
    return count, start


def read_values(data: bytes) -> list[object]:
    """Return the items of a frame with plain values.

    Raises:
        ProtocolError: one is malformed.
    """
    return _read(data, False)  # type: ignore[no-any-return]


def read_graph(data: bytes) -> Expression:
    """Return the expression of the list of the items of a frame.

    Raises:
        ProtocolError: it is malformed.
    """
    return _read(data, True)  # type: ignore[no-any-return]


def _read(data: bytes, is_graph: bool) -> Any:
    try:
        return _decoder(is_graph)(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)[:200]) from None


def _malformed(text: str) -> ProtocolError:
    return ProtocolError(f"malformed message: {text}")
