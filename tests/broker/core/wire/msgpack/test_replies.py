"""A kept reply is the frame, with another request id."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.wire.messages import GraphAnswer, GraphError
from broker.core.wire.msgpack.replies import frame_with, reply_of
from broker.core.wire.msgpack.writer import FrameWriter
from jelly.limits import Limits

IDS = [1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1]
WRITER = FrameWriter(Limits())


@pytest.mark.parametrize("value", [None, 1, "text", b"bytes", (1, 2), [1, {"a": 2.5}], {}, ()])
def test_answers(value: Any) -> None:
    """From each id to each other one."""
    frames = {number: WRITER.answer(number, value) for number in IDS}
    for number, frame in frames.items():
        assert frame is not None
        reply = reply_of(frame, number)
        assert {other: frame_with(reply, other) for other in IDS} == frames


@pytest.mark.parametrize("make", [GraphAnswer, GraphError])
def test_graphs(make: Any) -> None:
    """Likewise."""
    frames = {number: WRITER.write(make(number, [b"list", [b"x"], 1])) for number in IDS}
    for number, frame in frames.items():
        reply = reply_of(frame, number)
        assert {other: frame_with(reply, other) for other in IDS} == frames
