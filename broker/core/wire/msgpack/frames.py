"""The frames of msgpack/1: a record with a number is its own frame; the others are graphs.

A graph is a frame whose values are expressions. Its kind is the number of the message with plain
values in its place; an error, which is always a graph, has the number of graphs itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Annotated, Any

import msgspec

from broker.core.wire import messages, values
from broker.core.wire.commands import COMMANDS
from broker.core.wire.messages import Message, Metadata, Record, Target
from jelly.errors import ProtocolError
from jelly.numbers import LARGEST

__all__ = [
    "FRAMES",
    "GRAPH",
    "Graph",
    "frame_of",
    "has_frame",
    "may_have_promises",
    "message_of",
    "target_of",
]

GRAPH = 7
"""The number of graphs."""

# The tag of a promise, without the head of its bytes, which may have several forms.
_PROMISED = b"promised"
# Bytes of a long frame, and the elements of a graph that has few.
_LONG, _FEW = 2048, 16

_Id = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
_Name = Annotated[str, msgspec.Meta(max_length=messages.LONGEST_NAME)]


class Graph(messages.Record, tag=GRAPH):
    """A message whose values are expressions; ``kind`` says which."""

    kind: int
    request_id: _Id
    object_id: _Id | _Name | messages.Promised
    name: _Name
    graph: values.GRAPH
    deadline: _Id | None = None
    meta: Metadata | None = None


_NUMBERED = [row for row in COMMANDS.values() if row.number is not None]

FRAMES: Any = reduce(operator.or_, [Graph, *(row.record for row in _NUMBERED)])
"""The type of all frames, for the typed decoder."""

# The lowest number for each: an answer that is a tuple has the same graph as any other.
_KINDS: dict[tuple[type[Record] | None, bool], int] = {
    (row.graph, row.is_one_way): row.number or 0
    for row in sorted(_NUMBERED, key=lambda row: row.number or 0, reverse=True)
    if row.graph is not None
}
_KINDS[messages.GraphError, False] = GRAPH
_RECORDS = {kind: key for key, kind in _KINDS.items()}


def target_of(object_id: Target) -> int | str | messages.Promised:
    """Return the target of a call, with the name of an object as text."""
    return object_id.decode("utf-8") if isinstance(object_id, bytes) else object_id


def has_frame(message: Record) -> bool:
    """Return whether this dialect has a message."""
    kind = type(message)
    return kind in _MAKERS or any(kind is row.record for row in _NUMBERED)


def frame_of(message: Record) -> object:
    """Return what the encoder encodes for a message: a tuple for a graph, else the record."""
    make = _MAKERS.get(type(message))
    return message if make is None else make(message)


def message_of(frame: Graph) -> Message:
    """Return the message of a graph.

    Raises:
        ProtocolError: its kind is unknown, or its fields do not fit the kind.
    """
    record, is_one_way = _RECORDS.get(frame.kind, (None, False))
    if record is messages.GraphAnswer:
        return messages.GraphAnswer(frame.request_id, frame.graph)
    if record is messages.GraphError:
        return messages.GraphError(frame.request_id, frame.graph)
    if record is None:
        raise ProtocolError(f"malformed message: no graph of kind {frame.kind}")
    if type(frame.graph) is not list or len(frame.graph) != 2:
        raise ProtocolError("malformed message: a call of arguments and keywords")
    make = messages.GraphCall
    if record is messages.GraphCallToCache:
        make = messages.GraphCallToCache
        if type(frame.object_id) is not int:
            raise ProtocolError("malformed message: a cache has a number, no name")
    args, kw = frame.graph
    return make(
        frame.request_id,
        frame.object_id,
        frame.name,
        not is_one_way,
        args,
        kw,
        frame.deadline,
        frame.meta,
    )


def may_have_promises(message: messages.GraphCall, data: bytes, start: int, stop: int) -> bool:
    """Return whether there may be promises among the arguments of a received call.

    Args:
        message: the call.
        data, start, stop: its frame. It is searched for the word, unless it is long and has few
            elements, which are faster to look at. Most such frames are pieces of bytes.
    """
    if stop - start > _LONG:
        elements = [message.args, message.kw]
        # The list grows meanwhile.
        for each in elements:
            if type(each) is list:
                elements += each
                if len(elements) > _FEW:
                    break
            elif each == _PROMISED:
                return True
        else:
            return False
    return data.find(_PROMISED, start, stop) >= 0


def _of_call(message: messages.GraphCall) -> object:
    kind = _KINDS[type(message), not message.wants_answer]
    target, graph = target_of(message.object_id), (message.args, message.kw)
    frame = (GRAPH, kind, message.request_id, target, message.name, graph)
    if message.meta is not None:
        return (*frame, message.deadline, message.meta)
    return frame if message.deadline is None else (*frame, message.deadline)


def _of_version(message: messages.Version) -> object:
    number = COMMANDS[messages.Version].number
    if message.terms is None:
        return (number, message.number)
    return (number, message.number, message.terms)


def _of_item_graph(message: messages.ItemGraph) -> object:
    return (COMMANDS[messages.ItemGraph].number, message.stream, message.graph)


def _of_end(message: messages.End) -> object:
    frame = (COMMANDS[messages.End].number, message.stream)
    return frame if message.failure is None else (*frame, message.failure)


def _of_answer(message: messages.GraphAnswer) -> object:
    kind = _KINDS[messages.GraphAnswer, False]
    return (GRAPH, kind, message.request_id, 0, "", message.value)


def _of_error(message: messages.GraphError) -> object:
    return (GRAPH, GRAPH, message.request_id, 0, "", message.failure)


_MAKERS: dict[type[Record], Callable[[Any], object]] = {
    messages.GraphCall: _of_call,
    messages.GraphCallToCache: _of_call,
    messages.GraphAnswer: _of_answer,
    messages.GraphError: _of_error,
    messages.Version: _of_version,
    messages.End: _of_end,
    messages.ItemGraph: _of_item_graph,
}
