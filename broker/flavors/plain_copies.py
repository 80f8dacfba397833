"""Copies of plain classes: a registered dataclass or msgspec.Struct is sent as its fields.

Such a class needs no base class. The receiver calls its constructor once all fields are there, so
an instance cannot contain itself. A subclass of RemoteCopy is made in another way; see
``copyable``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from broker.errors import ConfigError
from broker.failure import qual, wire_name
from broker.flavors.field_types import check_state
from jelly.atoms import text_of
from jelly.errors import InsecureJelly, JellyError, MalformedJelly
from jelly.fields import unstored_shape_of
from jelly.registry import Form, defaults

__all__ = ["check_plain_class", "is_plain", "register_plain"]

_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def is_plain(cls: type) -> bool:
    """Return whether a class is a dataclass or a Struct."""
    return dataclasses.is_dataclass(cls) or issubclass(cls, Struct)


def check_plain_class(cls: type, name: str) -> None:
    """Refuse a class whose constructor does not take its fields.

    Args:
        cls: a dataclass or a Struct.
        name: its name for the error.

    Raises:
        ConfigError: it has an InitVar, or its constructor takes other arguments.
    """
    if unstored_shape_of(cls).initvars:
        raise ConfigError(f"{name} has an InitVar, which does not cross")
    parameters = _parameters(cls)
    if set(parameters) != _fields_of(cls):
        raise ConfigError(
            f"the constructor of {name} must take its fields; for one with other arguments, make"
            " the class a Copyable and RemoteCopy"
        )


def register_plain(cls: type, tag: bytes) -> None:
    """Send the instances of a class under a name, and accept them."""
    parameters = _parameters(cls)
    names = tuple(parameters)

    def state_of(value: object) -> dict[str, object]:
        return {name: getattr(value, name) for name in names}

    defaults.declared.forms[cls] = Form(tag, state_of)
    required = [name for name, each in parameters.items() if each.default is each.empty]
    defaults.declared.add_factory(tag, _maker(cls, frozenset(names), required))


def _fields_of(cls: Any) -> set[str]:
    if issubclass(cls, Struct):
        return set(cls.__struct_fields__)
    return {field.name for field in dataclasses.fields(cls) if field.init}


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(cls).parameters)
    except (TypeError, ValueError):
        raise ConfigError(f"the constructor of {qual(cls)} has no signature") from None


def _maker(cls: type, names: frozenset[str], required: list[str]) -> Callable[[object], object]:
    def make(state: object) -> object:
        name = wire_name(cls)
        if type(state) is not dict:
            raise MalformedJelly(f"state of {name} is not a dictionary")
        for key in state:
            if type(key) is not str:
                raise MalformedJelly(f"state of {name} with a key of {type(key).__name__}")
            if key not in names:
                raise InsecureJelly(f"field '{text_of(key)}' is not declared by {name}")
        for key in required:
            if key not in state:
                raise MalformedJelly(f"field '{key}' of {name} is missing")
        try:
            fields: Any = check_state(cls, state)
            return cls(**fields)
        except (JellyError, ConfigError):
            raise
        except _FAULTS as error:
            text = f"the fields of {name} are refused: {type(error).__name__}"
            raise MalformedJelly(text) from error

    return make
