"""The page of msgpack/1 shows the frames that are written."""

from __future__ import annotations

import re
from pathlib import Path

from broker.core.msgpack import FrameWriter, Plain
from jelly.limits import Limits

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wire" / "msgpack.md"
SHOWN = [
    [b"version", 6],
    [b"message", 3, b"root", b"echo", 1, Plain(("a",)), Plain({})],
    [b"answer", 3, Plain("a")],
    [b"decref", 1, 3],
    [b"ping", 7],
]


def test_the_examples() -> None:
    """Each example of the page is the frame of its message, byte for byte."""
    rows = PAGE.read_text("utf-8").partition("## Examples")[2].splitlines()
    frames = ["".join(re.findall(r"`([0-9a-f ]+)`", row)) for row in rows if row.endswith("` |")]
    shown = [bytes.fromhex(frame.replace(" ", "")) for frame in frames]
    assert shown == [FrameWriter(Limits()).encode(message) for message in SHOWN]
