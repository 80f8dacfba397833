"""msgpack/1: the pieces in which frames come make no difference, and what was read is writable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from broker.core.wire import messages
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from fuzz.bending import bent, pieces
from fuzz.conversation import frame_fields, framed
from fuzz.dice import Dice
from jelly.errors import ProtocolError
from jelly.limits import Limits

__all__ = ["fuzz"]

_SMALL = Limits(max_expression=60, max_nodes=9)
_PLAIN_CALLS: dict[type, int] = {
    messages.PlainCall: 1,
    messages.PlainSend: 2,
    messages.PlainCallToCache: 3,
    messages.PlainSendToCache: 4,
}


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    limits = _SMALL if dice.once_in(4) else Limits()
    keeps_expressions = dice.once_in(3)
    written = bent(dice, dice.rest() if dice.once_in(16) else _frames(dice))
    whole = _outcome(FrameReader(limits, keeps_expressions), (written,))
    cut = list(pieces(dice, written))
    again = _outcome(FrameReader(limits, keeps_expressions), cut)
    assert _shown(again) == _shown(whole), "pieces make a difference"
    if keeps_expressions:
        for message in whole[0]:
            _round_trip(message)
    else:
        for message in whole[0]:
            _round_trip_of_values(message)


def _frames(dice: Dice) -> bytes:
    return b"".join(framed(frame_fields(dice)) for _ in range(1 + dice.below(3)))


def _outcome(reader: FrameReader, chunks: Iterable[bytes]) -> tuple[list[Any], str]:
    done: list[Any] = []
    for chunk in chunks:
        try:
            reader.receive(chunk, done)
        except ProtocolError as error:
            assert len(str(error)) <= 400, "an error that is too long for a log"
            _assert_dead(reader)
            return done, type(error).__name__
    return done, ""


def _assert_dead(reader: FrameReader) -> None:
    try:
        reader.receive(b"", [])
    except RuntimeError:
        return
    raise AssertionError("a reader that raised is not dead")


def _round_trip(message: Any) -> None:
    _assert_same(FrameWriter(Limits()).write(message), message, keeps_expressions=True)


def _round_trip_of_values(message: Any) -> None:
    kind = type(message)
    writer = FrameWriter(Limits())
    if kind in _PLAIN_CALLS:
        fields = [getattr(message, name) for name in message.__struct_fields__]
        written = writer.call(_PLAIN_CALLS[kind], *fields)
    elif kind in (messages.PlainAnswer, messages.PlainTuple):
        written = writer.answer(message.request_id, message.value)
    else:
        _round_trip(message)
        return
    assert written is not None, "plain values that came in do not go out as such"
    _assert_same(written, message, keeps_expressions=False)


def _assert_same(written: bytes, message: Any, keeps_expressions: bool) -> None:
    back: list[Any] = []
    FrameReader(Limits(), keeps_expressions).receive(written, back)
    assert _alike(back) == _alike([message]), "what was read is written as something else"


def _alike(found: list[Any]) -> str:
    """Show messages; an answer that came as an expression may leave as a tuple of plain values."""
    return _shown((found, "")).replace("PlainTuple(", "PlainAnswer(")


def _shown(outcome: tuple[list[Any], str]) -> str:
    """Show messages and an error; items, which are not decoded, by their bytes."""
    found, error = outcome
    return repr(([_without_raw(each) for each in found], error))


def _without_raw(message: Any) -> Any:
    fields = msgspec.structs.asdict(message)
    undecoded = {name: bytes(field) for name, field in fields.items() if type(field) is msgspec.Raw}
    return (type(message).__name__, fields | undecoded) if undecoded else message
