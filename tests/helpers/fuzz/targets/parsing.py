"""Messages: any expression is a message whose fields are what they should be, or is refused."""

from __future__ import annotations

from typing import Any

from broker.core.wire import messages
from broker.core.wire.expressions import parse
from fuzz.dice import Dice
from fuzz.expressions import atom, raw
from jelly.atoms import text_of
from jelly.errors import ProtocolError

__all__ = ["fuzz"]

_COMMANDS = (
    b"version", b"didNotUnderstand", b"message", b"cachemessage", b"answer", b"error", b"decref",
    b"decache", b"uncache", b"login", b"", b"\xff" * 128, b"x" * 129,
)  # fmt: skip
_LARGEST = (1 << 63) - 1


def fuzz(data: bytes) -> None:
    """Run one input."""
    dice = Dice(data)
    if dice.once_in(8):
        expression: Any = raw(dice)
    else:
        makers = (lambda: dice.below(4), lambda: atom(dice), lambda: raw(dice, 2))
        expression = [dice.pick(_COMMANDS)]
        expression += [dice.pick(makers)() for _ in range(dice.below(8))]
    try:
        message = parse(expression)
    except ProtocolError as error:
        assert len(str(error)) <= 200, "an error that is too long for a log"
        return
    for name in message.__struct_fields__:
        _check(name, getattr(message, name))


def _check(name: str, value: Any) -> None:
    match name:
        case "request_id" | "cache_id":
            assert type(value) is int and 0 <= value <= _LARGEST
        case "object_id":
            is_name = type(value) is bytes and len(value) <= messages.LONGEST_NAME
            assert is_name or (type(value) is int and 0 <= value <= _LARGEST)
        case "name":
            assert value.isascii() and len(value) <= 4 * messages.LONGEST_NAME
        case "wants_answer":
            assert type(value) is bool
        case "command":
            assert type(value) is bytes and len(value) <= messages.LONGEST_NAME
            assert text_of(value).isprintable()
