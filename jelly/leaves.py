"""Scalars: values that contain no other value. Each row has the reader and the writer of one type.

A row reads ``expression -> value`` and writes ``value -> expression``. Readers check the number and
types of the fields, so that a peer's bytes can raise only MalformedJelly or LimitExceeded. The
forms were recorded from Twisted (``tests/vectors/jelly.json``).
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from jelly import atoms
from jelly.arity import wrong_arity
from jelly.atoms import Expression
from jelly.errors import CannotJelly, LimitExceeded, MalformedJelly
from jelly.limit_errors import limit_error
from jelly.limits import Limits

__all__ = [
    "ATOMS",
    "LEAVES",
    "READERS",
    "SCALARS",
    "UNSHARED_WRITERS",
    "WRITERS",
    "ZONED_WRITERS",
    "Leaf",
    "read_bool",
    "read_str",
    "read_uuid",
    "write_str",
]

Atom = TypeVar("Atom", int, bytes)
Made = TypeVar("Made")
Writer: TypeAlias = Callable[[Any], Expression]
"""Returns the expression of a value of one type."""

ATOMS: Final = frozenset({int, float, bytes})
"""The types that stand for themselves in an expression."""

SCALARS: Final = ATOMS | {str, bool, type(None)}
"""The builtin types whose values hold no other value, and are of every dialect."""


class Leaf(NamedTuple):
    """One row: a type, its tag, and the two functions."""

    cls: type
    tag: bytes
    write: Writer
    read: Callable[[list[Expression], Limits], object]


def _field(expression: list[Expression], kind: type[Atom], count: int = 2) -> Atom:
    field = expression[1] if len(expression) == count else None
    if type(field) is not kind:
        raise wrong_arity(expression)
    return field


_NONE_EXPRESSION: Final[Expression] = [atoms.NONE]
_TRUE: Final[Expression] = [atoms.BOOLEAN, b"true"]
_FALSE: Final[Expression] = [atoms.BOOLEAN, b"false"]


def _read_none(expression: list[Expression], limits: Limits) -> None:
    # PB ignores fields after the tag; it never sends any.
    return None


def _write_bool(value: bool) -> Expression:
    return _TRUE if value else _FALSE


def read_bool(expression: list[Expression], limits: Limits | None = None) -> bool:
    """Return the bool of an expression that starts with ``boolean``.

    Raises:
        MalformedJelly: it is not a bool.
    """
    word = _field(expression, bytes)
    if word == b"true":
        return True
    if word == b"false":
        return False
    raise MalformedJelly("boolean neither true nor false")


def _read_long(expression: list[Expression], limits: Limits) -> int:
    digits = _field(expression, bytes)
    most = 7 * limits.max_prefix
    # 3.3 bits a digit. The text is compared first, since int() does not take linear time.
    if len(digits) > most // 3 + 2 or not digits.removeprefix(b"-").isdigit():
        raise MalformedJelly("int that is not digits")
    number = int(digits)
    if number.bit_length() > most:
        raise limit_error(LimitExceeded, "max_prefix", limits.max_prefix, number.bit_length())
    return number


def write_str(value: str) -> Expression:
    """Return the expression of a str.

    Raises:
        CannotJelly: the str has no UTF-8 form.
    """
    try:
        return [atoms.UNICODE, value.encode()]
    except UnicodeEncodeError:
        text = "str with a lone surrogate has no UTF-8 form"
        raise CannotJelly(text).about(value) from None


def read_str(expression: list[Expression], limits: Limits | None = None) -> str:
    """Return the str of an expression that starts with ``unicode``.

    Raises:
        MalformedJelly: the field is missing, or not UTF-8.
    """
    # As in _field, without the call: a table of a hundred rows is read in 0.95 of the time.
    if len(expression) != 2 or type(expression[1]) is not bytes:
        raise wrong_arity(expression)
    try:
        return expression[1].decode()
    except UnicodeDecodeError:
        raise MalformedJelly("unicode that is not UTF-8") from None


def _write_decimal(value: decimal.Decimal) -> Expression:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise CannotJelly("a Decimal that is not finite has no expression").about(value)
    if len(digits) > 1_000:
        text = f"a Decimal of {len(digits)} digits has no expression (at most 1000)"
        raise CannotJelly(text).about(value)
    number = int("".join(map(str, digits)))
    return [atoms.DECIMAL, -number if sign else number, exponent]


def _decimal_fields(expression: list[Expression], limits: Limits) -> tuple[int, Expression]:
    if len(expression) == 3 and type(expression[1]) is list and expression[1][:1] == [atoms.INT]:
        # More digits than an int of the dialect can have.
        return _read_long(expression[1], limits), expression[2]
    return _field(expression, int, 3), expression[2]


def _read_decimal(expression: list[Expression], limits: Limits) -> decimal.Decimal:
    number, exponent = _decimal_fields(expression, limits)
    if type(exponent) is not int:
        raise MalformedJelly("decimal whose exponent is not an int")
    # The bits are compared first, since str() of a long int does not take linear time.
    most = limits.max_decimal_digits
    if abs(number).bit_length() > most * 10 // 3 + 1:
        raise limit_error(LimitExceeded, "max_decimal_digits", most)
    digits = str(abs(number))
    if len(digits) > most:
        raise limit_error(LimitExceeded, "max_decimal_digits", most, len(digits))
    adjusted = exponent + len(digits) - 1
    if abs(adjusted) > limits.max_decimal_exponent:
        most = limits.max_decimal_exponent
        raise limit_error(LimitExceeded, "max_decimal_exponent", most, adjusted)
    # From text, which takes a tenth of the time of a tuple of digits.
    return decimal.Decimal(f"{'-' if number < 0 else ''}{digits}E{exponent}")


def _numbers(expression: list[Expression], most: int) -> list[int]:
    text = _field(expression, bytes)
    parts = text.split(b" ", most + 1)
    if len(text) > 80 or not all(part.removeprefix(b"-").isdigit() for part in parts):
        raise MalformedJelly(f"{atoms.text_of(expression[0])} that is not numbers")
    return [int(part) for part in parts]


def _timed(cls: Callable[..., Made], fields: int) -> Callable[[list[Expression], Limits], Made]:
    def read(expression: list[Expression], limits: Limits) -> Made:
        numbers = _numbers(expression, fields)
        if len(numbers) != fields:
            raise MalformedJelly(f"{atoms.text_of(expression[0])} of {len(numbers)} numbers")
        try:
            return cls(*numbers)
        except (ValueError, OverflowError):
            raise MalformedJelly(f"{atoms.text_of(expression[0])} out of range") from None

    return read


def _without_zone(value: datetime.datetime | datetime.time) -> None:
    if value.tzinfo is not None:
        raise CannotJelly(
            f"{type(value).__name__} with a time zone has no pb expression;"
            f" send it in UTC without tzinfo, or as text"
        ).about(value)


def _write_datetime(value: datetime.datetime) -> Expression:
    _without_zone(value)
    return _datetime_expression(value)


def _datetime_expression(value: datetime.datetime) -> list[Expression]:
    text = (
        f"{value.year} {value.month} {value.day}"
        f" {value.hour} {value.minute} {value.second} {value.microsecond}"
    )
    return [atoms.DATETIME, text.encode("ascii")]


def _write_zoned(value: datetime.datetime) -> Expression:
    """Return the expression of a datetime: with the offset in seconds if it has a zone.

    Raises:
        CannotJelly: the offset is not known, or is not whole seconds.
    """
    expression = _datetime_expression(value)
    if value.tzinfo is not None:
        offset = value.utcoffset()
        if offset is None or offset.microseconds:
            text = "a datetime whose offset from UTC is not whole seconds has no expression"
            raise CannotJelly(text).about(value)
        expression.append(offset.days * 86_400 + offset.seconds)
    return expression


_read_unzoned = _timed(datetime.datetime, 7)


def _read_datetime(expression: list[Expression], limits: Limits) -> object:
    if len(expression) != 3:
        return _read_unzoned(expression, limits)
    offset = expression[2]
    if type(offset) is not int or not -86_400 < offset < 86_400:
        raise MalformedJelly("datetime whose offset is not seconds of less than a day")
    value = _read_unzoned(expression[:2], limits)
    zone = datetime.timezone(datetime.timedelta(seconds=offset))
    return value.replace(tzinfo=zone)


def _write_uuid(value: uuid.UUID) -> Expression:
    return [atoms.UUID, value.bytes]


def read_uuid(expression: list[Expression]) -> uuid.UUID | None:
    """Return the UUID of ``[uuid.UUID bytes]``, or None if there are no bytes after the tag.

    Twisted sends such an instance with a dict.

    Raises:
        MalformedJelly: there are not exactly 16 bytes.
    """
    if len(expression) != 2 or type(expression[1]) is not bytes:
        return None
    if len(expression[1]) != 16:
        raise MalformedJelly(f"uuid of {len(expression[1])} bytes")
    return uuid.UUID(bytes=expression[1])


def _write_date(value: datetime.date) -> Expression:
    return [atoms.DATE, f"{value.year} {value.month} {value.day}".encode("ascii")]


def _write_time(value: datetime.time) -> Expression:
    _without_zone(value)
    text = f"{value.hour} {value.minute} {value.second} {value.microsecond}"
    return [atoms.TIME, text.encode("ascii")]


def _write_timedelta(value: datetime.timedelta) -> Expression:
    return [atoms.TIMEDELTA, f"{value.days} {value.seconds} {value.microseconds}".encode("ascii")]


_LEAVES = (
    Leaf(type(None), atoms.NONE, lambda value: _NONE_EXPRESSION, _read_none),
    Leaf(bool, atoms.BOOLEAN, _write_bool, read_bool),
    Leaf(str, atoms.UNICODE, write_str, read_str),
    Leaf(decimal.Decimal, atoms.DECIMAL, _write_decimal, _read_decimal),
    Leaf(datetime.datetime, atoms.DATETIME, _write_datetime, _read_datetime),
    Leaf(datetime.date, atoms.DATE, _write_date, _timed(datetime.date, 3)),
    Leaf(datetime.time, atoms.TIME, _write_time, _timed(datetime.time, 4)),
    Leaf(datetime.timedelta, atoms.TIMEDELTA, _write_timedelta, _timed(datetime.timedelta, 3)),
)

WRITERS: Final[dict[type, Writer]] = {leaf.cls: leaf.write for leaf in _LEAVES}
ZONED_WRITERS: dict[type, Writer] = {
    **WRITERS,
    datetime.datetime: _write_zoned,
}
"""The same for a dialect in which a datetime may have a zone."""

UNSHARED_WRITERS: Mapping[type, Writer] = {
    uuid.UUID: _write_uuid,
    bytearray: bytes,
    memoryview: bytes,
}
"""The writers of instances that are values: two equal ones are never one reference.

A policy that allows their class sends them as ordinary instances instead, as Twisted does.
"""

LEAVES: Final[frozenset[type]] = frozenset({*ATOMS, *WRITERS})
"""All types whose values hold no other value and have an expression."""
READERS: Final[dict[bytes, Callable[[list[Expression], Limits], object]]] = {
    leaf.tag: leaf.read for leaf in _LEAVES
}
# Reads an int that is too large for an int of the dialect. Jelly can write any int as an int, so
# this form has no writer here.
READERS[atoms.INT] = _read_long
