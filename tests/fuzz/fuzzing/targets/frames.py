"""msgpack/1: the pieces in which frames come make no difference, and what was read is writable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.core import messages
from broker.core.msgpack import FrameReader, FrameWriter
from fuzzing.bending import bent, pieces
from fuzzing.conversation import framed, frame_fields
from fuzzing.dice import Dice
from jelly.errors import ProtocolError
from jelly.limits import Limits

__all__ = ["fuzz"]

_SMALL = Limits(max_expression=60, max_nodes=9)
_COMMANDS: dict[type, bytes] = {
    messages.Version: b"version",
    messages.Call: b"message",
    messages.CallToCache: b"cachemessage",
    messages.Answer: b"answer",
    messages.Failed: b"error",
    messages.Decref: b"decref",
    messages.Decache: b"decache",
    messages.Uncache: b"uncache",
    messages.Cancel: b"cancel",
    messages.Ping: b"ping",
    messages.Pong: b"pong",
    messages.Goodbye: b"goodbye",
}


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    limits = _SMALL if dice.once_in(4) else Limits()
    written = bent(dice, dice.rest() if dice.once_in(16) else _frames(dice))
    whole = _outcome(FrameReader(limits), (written,))
    cut = list(pieces(dice, written))
    assert repr(_outcome(FrameReader(limits), cut)) == repr(whole), "pieces make a difference"
    for message in whole[0]:
        _round_trip(message, Limits())


def _frames(dice: Dice) -> bytes:
    return b"".join(framed(frame_fields(dice)) for _ in range(1 + dice.below(3)))


def _outcome(reader: FrameReader, chunks: Iterable[bytes]) -> tuple[list[Any], str]:
    done: list[Any] = []
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while found := reader.read():
                done += found
        except ProtocolError as error:
            assert len(str(error)) <= 400, "an error that is too long for a log"
            return done, type(error).__name__
    return done, ""


def _round_trip(message: Any, limits: Limits) -> None:
    fields = list(message)
    if isinstance(message, messages.Call | messages.CallToCache):
        # On its way out a name is bytes; a deadline of None is not said.
        fields[2] = fields[2].encode("utf-8")
        if fields[-1] is None:
            fields.pop()
    try:
        written = FrameWriter(limits).encode([_COMMANDS[type(message)], *fields])
    except msgspec.ValidationError:
        raise AssertionError("what was read cannot be written") from None
    reader = FrameReader(limits)
    reader.feed(written)
    (back,) = reader.read()
    assert repr(back) == repr(message), "what was read is written as something else"
