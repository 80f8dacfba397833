"""The data of a message as bytes: encoded once for all subscribers, the history and the engine."""

from __future__ import annotations

import msgspec

from broker.core.wire.values import are_plain
from broker.errors import BananaError, CannotJelly, DecodeError, MalformedJelly, TooLarge
from jelly import banana
from jelly.jellier import Jellier
from jelly.limits import Limits
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier

__all__ = ["decoded", "encoded"]

# The first byte tells the form of the rest.
_PLAIN, _EXPRESSION = b"p", b"e"
# No class: neither a copy nor an instance is data of a topic.
_values = SecurityOptions()
_values.allowBasicTypes()
_limits = Limits()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encoded(data: object, most: int) -> bytes:
    """Return the bytes of a plain value, bytes, a date, a Decimal, or a container of these.

    Args:
        data: the value.
        most: the largest number of bytes.

    Raises:
        TooLarge: the bytes are more than ``most``.
        CannotJelly: it is another value, such as a reference, a stream or a copy.
    """
    try:
        if are_plain((data,)):
            made = _PLAIN + _encode(data)
        else:
            expression = Jellier(_values, limits=_limits, has_zones=True).jelly(data)
            made = _EXPRESSION + banana.encode(expression)
            # Data that a receiver would refuse is refused here.
            decoded(made)
    except TooLarge:
        raise
    except Exception as error:  # noqa: BLE001 - also what a hook of the value raises
        kind = type(data).__name__
        raise CannotJelly(f"a message of a topic cannot hold this {kind}: {error}") from None
    if len(made) > most:
        raise TooLarge(f"message of {len(made)} bytes (max_message {most})")
    return made


def decoded(data: bytes) -> object:
    """Return the value of bytes that :func:`encoded` has returned.

    Raises:
        DecodeError: they are not such bytes.
    """
    form, rest = data[:1], data[1:]
    try:
        if form == _PLAIN:
            return _decode(rest)
        if form == _EXPRESSION:
            return Unjellier(_values, limits=_limits, allow_code=False).unjellyFull(
                banana.decode(rest)
            )
    except (msgspec.DecodeError, BananaError, RecursionError, UnicodeDecodeError, IndexError):
        raise MalformedJelly("the data of a message cannot be decoded") from None
    except DecodeError:
        raise
    raise MalformedJelly("the data of a message has an unknown form")
