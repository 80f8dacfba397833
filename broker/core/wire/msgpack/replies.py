"""The frame of an answer or an error without its request id, to be sent again with another one."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

import msgspec

from broker.core.wire.msgpack.frames import GRAPH

__all__ = ["KeptReply", "frame_with", "reply_of"]

_encode = msgspec.msgpack.Encoder().encode
_pack_length = Struct(">I").pack


class KeptReply(NamedTuple):
    """A frame of an answer or of an error, in two parts.

    Attributes:
        head: the bytes before the request id, without the length of the frame.
        tail: the bytes behind the request id.
    """

    head: bytes
    tail: bytes


def reply_of(frame: bytes, request_id: int) -> KeptReply:
    """Return a frame without its request id.

    Args:
        frame: an answer or an error, as the writer returns it, with its length.
        request_id: in the frame.
    """
    # An array of its length, the number of the message, and of a graph its kind.
    start = 4 + (3 if frame[5] == GRAPH else 2)
    return KeptReply(frame[4:start], frame[start + len(_encode(request_id)) :])


def frame_with(reply: KeptReply, request_id: int) -> bytes:
    """Return a frame with a request id."""
    body = b"".join((reply.head, _encode(request_id), reply.tail))
    return _pack_length(len(body)) + body
