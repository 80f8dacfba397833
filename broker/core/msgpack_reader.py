"""The reader of msgpack/1: bytes in any pieces to messages.

Theory of operation. A frame is its length in four bytes, most significant first, and one msgpack
array whose first element is the number of the command; ``docs/reference/wire/msgpack.md`` lists
them. It is decoded in C against the records of ``core.messages``, so that arity, field types, keys
and depth are checked while decoding: no attacker's tuple becomes a key, and nothing recurses deeper
than the types. A frame of more bytes than ``max_nodes`` is walked first, one head after the other,
to count its elements: what it would cost in memory is known before it is spent.

A frame that is not whole is kept as the pieces that came, and joined once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableSequence
from struct import Struct
from typing import Annotated, Any

import msgspec

from broker.core import messages
from broker.core.messages import Message
from broker.core.msgpack_nodes import check_nodes
from broker.core.small import PLAIN, with_expressions, with_values
from jelly.errors import LimitExceeded, ProtocolError
from jelly.limits import Limits
from jelly.numbers import LARGEST
from jelly.parts import Parts

__all__ = ["DEEPEST", "FrameReader"]

DEEPEST = 100
"""The largest ``max_depth`` for which every message can be decoded; the types are made for it."""

# Two more than max_depth allows a sender: the list of a leaf inside the last, and the message.
_GRAPH_DEPTH = DEEPEST + 2

_read_length = Struct(">I").unpack_from


def _graph_type() -> Any:
    leaf: Any = int | float | bytes
    found = leaf
    for _ in range(_GRAPH_DEPTH):
        found = leaf | list.__class_getitem__(found)
    return found


class Graph(messages.Record, tag=7):
    """A message whose values are expressions; ``what`` is the command that it stands for."""

    what: int
    request_id: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
    object_id: (
        Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
        | Annotated[str, msgspec.Meta(max_length=messages.LONGEST_NAME)]
    )
    name: Annotated[str, msgspec.Meta(max_length=messages.LONGEST_NAME)]
    graph: _graph_type()  # type: ignore[valid-type]
    deadline: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] | None = None


_FRAMES: Any = (
    messages.Version
    | messages.PlainCall
    | messages.PlainSend
    | messages.PlainCallToCache
    | messages.PlainSendToCache
    | messages.PlainAnswer
    | messages.PlainTuple
    | Graph
    | messages.Decref
    | messages.Decache
    | messages.Uncache
    | messages.Cancel
    | messages.Ping
    | messages.Pong
    | messages.Goodbye
)


@functools.cache
def _decoder() -> Callable[[Any], Any]:
    """Return what decodes a frame; made when the first connection needs it."""
    return msgspec.msgpack.Decoder(_FRAMES).decode


class FrameReader:
    """Reads messages from bytes that arrive in pieces of any size.

    Args:
        limits: how large a frame may be, and how many elements it may have.
        keeps_expressions: give each value as an expression, for hooks that know nothing else.
    """

    __slots__ = (
        "_convert",
        "_decode",
        "_is_dead",
        "_limits",
        "_most_unchecked",
        "_parts",
        "_wanted",
    )

    def __init__(self, limits: Limits, keeps_expressions: bool = False):
        self.set_limits(limits)
        self._parts = Parts()
        self._wanted = 0
        self._is_dead = False
        self._decode = _decoder()
        self._convert = _EXPRESSIONS if keeps_expressions else _VALUES

    def set_limits(self, limits: Limits) -> None:
        """Apply other limits to the frames that follow."""
        self._limits = limits
        self._most_unchecked = min(limits.max_nodes, limits.max_expression)

    def receive(self, data: bytes, inbox: MutableSequence[Message], most: int = -1) -> bool:
        """Take in bytes, and append the messages that they complete: `dialects.MessageReader`.

        Raises:
            ProtocolError: a frame is too large, or no message; those before it are in the inbox.
            RuntimeError: it has raised ProtocolError before.
        """
        if self._is_dead:
            raise RuntimeError("decoder already failed")
        parts = self._parts
        if parts.size:
            parts.add(data)
            if parts.size < self._wanted:
                return False
            data = parts.take()
        decode, convert, most_unchecked = self._decode, self._convert, self._most_unchecked
        view, end, pos = memoryview(data), len(data), 0
        self._wanted = 4
        try:
            while end - pos >= 4:
                start = pos + 4
                (length,) = _read_length(data, pos)
                stop = start + length
                if length > most_unchecked or stop > end:
                    self._check_length(length)
                    if stop > end:
                        self._wanted = 4 + length
                        break
                    check_nodes(view[start:stop], self._limits.max_nodes)
                message = decode(view[start:stop])
                kind = type(message)
                inbox.append(convert[kind](message) if kind in convert else message)
                pos = stop
                most -= 1
                if not most:
                    break
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._is_dead = True
            raise ProtocolError(f"malformed message: {str(error)[:200]}") from None
        except ProtocolError:
            self._is_dead = True
            raise
        if pos < end:
            parts.add(data[pos:] if pos else data)
        return not most and pos < end

    def _check_length(self, length: int) -> None:
        most = self._limits.max_expression
        if length > most:
            raise LimitExceeded(f"expression larger than {most} bytes (max_expression)")

    @property
    def is_between_expressions(self) -> bool:
        """Whether no frame has been started."""
        return not self._parts.size

    @property
    def pending(self) -> int:
        """Bytes of the frame that has begun to come and is not whole."""
        return self._parts.size


def _of_expressions(frame: Graph) -> Message:
    what = frame.what
    if what == 5:
        return messages.Answer(frame.request_id, frame.graph)
    if what == 7:
        return messages.Failed(frame.request_id, frame.graph)
    if not 1 <= what <= 4:
        raise ProtocolError(f"malformed message: no graph of kind {what}")
    if type(frame.graph) is not list or len(frame.graph) != 2:
        raise ProtocolError("malformed message: a call of arguments and keywords")
    if what >= 3 and type(frame.object_id) is not int:
        raise ProtocolError("malformed message: a cache has a number, no name")
    cls = messages.Call if what <= 2 else messages.CallToCache
    args, kw = frame.graph
    wants_answer = what in (1, 3)
    return cls(
        frame.request_id, frame.object_id, frame.name, wants_answer, args, kw, frame.deadline
    )


def _of_values(frame: Graph) -> Message:
    return with_values(_of_expressions(frame))


_VALUES: dict[type, Callable[[Any], Message]] = {Graph: _of_values}
_EXPRESSIONS: dict[type, Callable[[Any], Message]] = {
    Graph: _of_expressions,
    **dict.fromkeys(PLAIN, with_expressions),
}
