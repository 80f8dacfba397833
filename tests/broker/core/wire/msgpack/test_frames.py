"""Frames: the number of each message, and the kinds of graphs."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire import messages
from broker.core.wire.msgpack.frames import GRAPH, Graph, frame_of, has_frame, message_of, target_of
from jelly.errors import ProtocolError

ARGS, KW = [b"tuple"], [b"dictionary"]

KINDS: list[tuple[messages.Record, int]] = [
    (messages.GraphCall(3, 5, "m", True, ARGS, KW, 9), 1),
    (messages.GraphCall(3, "root", "m", False, ARGS, KW), 2),
    (messages.GraphCallToCache(3, 5, "m", True, ARGS, KW), 3),
    (messages.GraphCallToCache(3, 5, "m", False, ARGS, KW, 9), 4),
    (messages.GraphAnswer(3, ARGS), 5),
    (messages.GraphError(3, ARGS), 7),
]


@pytest.mark.parametrize(("message", "kind"), KINDS)
def test_graphs(message: messages.Record, kind: int) -> None:
    """A graph has its kind, and is the message again."""
    frame = frame_of(message)
    assert frame[:3] == (GRAPH, kind, 3)
    fields: Any = frame[1:]
    if len(fields) > 4 and type(fields[4]) is tuple:
        fields = (*fields[:4], list(fields[4]), *fields[5:])
    assert message_of(Graph(*fields)) == message
    assert has_frame(message)


def test_other_records_are_their_frames() -> None:
    """A record with a number is encoded as it is."""
    ping = messages.Ping(7)
    assert frame_of(ping) is ping
    assert has_frame(ping)
    assert not has_frame(messages.DidNotUnderstand(b"x"))
    assert not has_frame(messages.UnknownCommand(b"x"))


@pytest.mark.parametrize(
    ("kind", "object_id", "graph", "text"),
    [
        (0, 5, [ARGS, KW], "no graph of kind 0"),
        (6, 5, ARGS, "no graph of kind 6"),
        (1, 5, [ARGS], "a call of arguments and keywords"),
        (1, 5, 7, "a call of arguments and keywords"),
        (4, "root", [ARGS, KW], "a cache has a number, no name"),
    ],
)
def test_malformed_graphs(kind: int, object_id: Any, graph: Any, text: str) -> None:
    """A graph of an unknown kind, or whose fields do not fit, is malformed."""
    with pytest.raises(ProtocolError, match=text):
        message_of(Graph(kind, 3, object_id, "m", graph))


def test_targets() -> None:
    """The name of an object is text in a frame."""
    assert [target_of(b"root"), target_of("root"), target_of(5)] == ["root", "root", 5]
