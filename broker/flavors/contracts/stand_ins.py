"""Classes that stand in msgspec's types for those that msgspec cannot convert by itself.

msgspec calls :func:`converted` for a class that it does not know. A stand-in has its own rule for
that, and passes msgspec's check of the result, which it has checked itself.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePath

import msgspec

from jelly.printable import printable

__all__ = [
    "BUILTIN_TYPES",
    "Mismatch",
    "check_supported",
    "convert",
    "converted",
    "read_fault",
    "stand_in",
    "wrong",
]

BUILTIN_TYPES = (
    *(bytes, bytearray, datetime.date, datetime.time, datetime.datetime, datetime.timedelta),
    Decimal,
)
"""Types that msgspec takes as they are; for a UUID and an Enum it takes text, too."""

# msgspec ends its text with the places, the innermost first.
_PLACE = re.compile(r" - at `([^`]*)`(?: in `([^`]*)`)?")
# These texts of msgspec repeat a value, or a name that the peer chose.
_REPEATS = re.compile(r"(Invalid (?:enum )?value|Object contains unknown field)\b.*", re.DOTALL)
_MOST_TEXT = 200


class Mismatch(Exception):
    """A value does not have its type.

    Attributes:
        place: the place within the value, such as ``[0].row``; empty for the value itself.
        text: the type and what came instead, without the value.
    """

    def __init__(self, text: str, place: str = ""):
        super().__init__(text)
        self.text = text
        self.place = place


class _StandIn(type):
    """The class of stand-ins: every object passes as an instance."""

    take: Callable[[object], object]

    def __instancecheck__(cls, value: object) -> bool:
        return True


def stand_in(name: str, take: Callable[[object], object]) -> type:
    """Return a class that converts values with ``take``, which raises a TypeError of `wrong`."""
    return _StandIn(name, (), {"take": staticmethod(take)})


def wrong(expected: str, value: object) -> TypeError:
    """Return the error for a value that is not of an expected kind."""
    return TypeError(f"Expected `{expected}`, got `{type(value).__name__}`")


def convert(value: object, wire: object) -> object:
    """Return a value that has crossed as a value of a type.

    Args:
        value: as the peer has sent it, or as it is about to be sent.
        wire: the type, in which stand-ins have replaced some classes.

    Raises:
        Mismatch: the value does not have the type.
    """
    try:
        result: object = msgspec.convert(
            value,
            wire,
            builtin_types=BUILTIN_TYPES,
            dec_hook=converted,
        )
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise _explained(error) from None
    except (RecursionError, OverflowError, ArithmeticError):
        raise Mismatch("it is nested too deeply, or too large") from None
    return result


def converted(cls: type, value: object) -> object:
    """Return a value as an instance of a class that msgspec does not know; its ``dec_hook``.

    Raises:
        TypeError: it cannot be one.
    """
    if isinstance(cls, _StandIn):
        try:
            return cls.take(value)
        except Mismatch as error:
            # msgspec appends the place of this value, to a TypeError only.
            raise TypeError(f"{error.text} - at `${error.place}`") from None
        except msgspec.ValidationError as error:
            raise TypeError(str(error)) from None
    if issubclass(cls, PurePath):
        if type(value) is not str:
            raise wrong("str", value)
        return cls(value)
    if not isinstance(value, cls):
        raise wrong(cls.__name__, value)
    return value


def check_supported(wire: object) -> None:
    """Raise a TypeError if msgspec does not support a type."""
    msgspec.json.Decoder(wire, dec_hook=converted)


def read_fault(error: Exception) -> tuple[str, str, bool]:
    """Return what an error of msgspec says: the fault, its place, and if it is that of a key.

    The fault does not repeat the peer's value. The place begins after the ``$`` of the whole value.
    """
    told = str(error)
    places = _PLACE.findall(told)
    fault = _REPEATS.sub(r"\1", _PLACE.sub("", told))
    place = "".join((inside or path).removeprefix("$") for path, inside in reversed(places))
    return fault, place, any(inside for _, inside in places)


def _explained(error: Exception) -> Mismatch:
    """Return the place and the text of an error of msgspec, without the value."""
    text, place, is_key = read_fault(error)
    if is_key:
        text = f"{text} (a key)"
    return Mismatch(printable(text, _MOST_TEXT, is_ascii=False), place)
