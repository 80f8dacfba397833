"""Values without parts that are not sent as they are, or that msgspec does not know."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from broker.flavors.contracts.plans import Lower, Plan
from broker.flavors.contracts.stand_ins import check_supported, stand_in, wrong
from jelly.atoms import Expression
from jelly.bases import Jellyable
from jelly.errors import CannotJelly

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["choice", "copy_plan", "enum_plan", "lower_as", "zoned_plan"]


def lower_as(sent: Callable[..., object], cls: type) -> Lower:
    """Return a function that sends instances of ``cls`` as ``sent(value)``."""

    def lower(value: object) -> object:
        return sent(value) if isinstance(value, cls) else value

    return lower


def choice(text: str, take: Callable[[object], object]) -> type:
    """Return a type for msgspec that converts values with a function of our own.

    Args:
        text: the type in Python's syntax.
        take: returns the converted value; raises a TypeError or a Mismatch.
    """
    return stand_in(text, take)


def copy_plan(cls: type) -> Plan:
    """Return the plan of a class whose instances are sent by their own rules."""

    def take(value: object) -> object:
        if not isinstance(value, cls):
            raise wrong(cls.__name__, value)
        return value

    return Plan(stand_in(cls.__name__, take), kinds=(cls,))


def enum_plan(cls: type[enum.Enum]) -> Plan:
    """Return the plan of an Enum, which is sent as the value of its member."""

    def lower(value: object) -> object:
        return value.value if isinstance(value, cls) else value

    def take(value: object) -> object:
        try:
            return cls(value)
        except (ValueError, TypeError):
            raise TypeError("Invalid enum value") from None

    try:
        check_supported(cls)
    except TypeError:
        # Of msgspec, the values are all text or all int.
        return Plan(stand_in(cls.__name__, take), lower, (cls,))
    return Plan(cls, lower, (cls,))


class ZonedDatetime(Jellyable):
    """A datetime with a zone: ISO 8601 text in a dialect that has no zones."""

    def __init__(self, value: datetime):
        self.value = value

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the expression of the datetime, or of its text."""
        try:
            return jellier.jelly(self.value)
        except CannotJelly:
            return jellier.jelly(self.value.isoformat())


def zoned_plan() -> Plan:
    """Return the plan of a datetime; text of one with an offset from UTC is taken for it."""
    return Plan(stand_in("datetime", _take_datetime), _lower_datetime, (datetime,))


def _lower_datetime(value: object) -> object:
    if type(value) is datetime and value.tzinfo is not None:
        return ZonedDatetime(value)
    return value


def _take_datetime(value: object) -> object:
    if type(value) is str:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise wrong("datetime", value) from None
        if found.tzinfo is not None:
            return found
    elif isinstance(value, datetime | ZonedDatetime):
        # Before it is sent, a value is checked as it is when it comes.
        return value
    raise wrong("datetime", value)
