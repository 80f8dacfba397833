"""The fields of a message in PB's expressions: one check for each kind of field.

Each function returns the value for the record, or raises Misfit.
"""

from __future__ import annotations

from broker.core.wire.messages import LONGEST_NAME, ObjectId
from jelly.atoms import Expression
from jelly.numbers import LARGEST, is_number

__all__ = ["Misfit", "flag", "graph", "number", "object_id", "signed", "text", "word"]


class Misfit(Exception):
    """A field has the wrong type or value."""


def number(value: Expression) -> int:
    """Check the id of an object, a cache or a call."""
    if not is_number(value):
        raise Misfit
    return value


def object_id(value: Expression) -> ObjectId:
    """Check the id or the name of an object."""
    if type(value) is bytes and len(value) <= LONGEST_NAME:
        return value
    return number(value)


def text(value: Expression) -> str:
    """Check the name of a method."""
    if type(value) is not bytes or len(value) > LONGEST_NAME:
        raise Misfit
    # No method has a name that is not ASCII; the error of the lookup shows it with escapes.
    return value.decode("ascii", "backslashreplace")


def flag(value: Expression) -> bool:
    """Return whether a call wants an answer."""
    if type(value) is not int:
        # PB sends the value of pbanswer unchanged. None arrives as a list; it means no answer.
        return value not in (0, [b"None"], [b"boolean", b"false"])
    return value != 0


def word(value: Expression) -> bytes:
    """Check a command."""
    if type(value) is not bytes or len(value) > LONGEST_NAME:
        raise Misfit
    return value


def graph(value: Expression) -> Expression:
    """Accept any expression: the unjellier checks it."""
    return value


def signed(value: Expression) -> int:
    """Check a version."""
    if type(value) is not int or abs(value) > LARGEST:
        raise Misfit
    return value
