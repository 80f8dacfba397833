"""Enums: a member of a registered class is sent as its value, under the name of the class."""

from __future__ import annotations

import enum
from collections.abc import Callable

from broker.errors import ConfigError
from broker.failure import qual, wire_name
from jelly.errors import JellyError, MalformedJelly
from jelly.registry import Form, defaults

__all__ = ["register_enum"]

# Python keeps each combination of flags that was ever made.
_MOST_FLAGS = 16
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def register_enum(cls: type[enum.Enum], tag: bytes) -> None:
    """Send the members of an Enum under a name, and accept them.

    Raises:
        ConfigError: it has more than 16 flags.
    """
    if issubclass(cls, enum.Flag) and _bits(cls).bit_count() > _MOST_FLAGS:
        raise ConfigError(
            f"{qual(cls)} has more than {_MOST_FLAGS} flags, whose combinations would fill the"
            " memory; send its value"
        )
    defaults.declared.forms[cls] = Form(tag, _value_of, is_shared=False)
    defaults.declared.add_factory(tag, _maker(cls))


def _value_of(member: enum.Enum) -> object:
    return member.value


def _bits(cls: type[enum.Flag]) -> int:
    bits = 0
    for member in cls.__members__.values():
        bits |= member.value
    return bits


def _maker(cls: type[enum.Enum]) -> Callable[[object], enum.Enum]:
    # An IntFlag takes any int, and keeps it.
    most = _bits(cls) if issubclass(cls, enum.Flag) else None

    def make(value: object) -> enum.Enum:
        is_unknown = most is not None and (type(value) is not int or value < 0 or value & ~most)
        try:
            member = None if is_unknown else cls(value)
        except JellyError:
            raise
        except _FAULTS:
            member = None
        # A bool is equal to an int.
        if member is None or type(member.value) is not type(value):
            raise MalformedJelly(f"unknown value of enum {wire_name(cls)}")
        return member

    return make
