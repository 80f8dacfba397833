"""Annotations: their resolution, the replacement of type variables, and their text."""

from __future__ import annotations

import enum
import functools
import operator
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, cast

from broker.errors import ConfigError

__all__ = ["hints_of", "is_contract", "is_union", "members_of", "substituted", "type_text"]


def is_contract(hint: object) -> bool:
    """Return whether a type is a Protocol class, or one with its arguments."""
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and bool(getattr(cls, "_is_protocol", False))


def is_union(hint: object) -> bool:
    """Return whether a type is a union."""
    return typing.get_origin(hint) in (Union, types.UnionType)


def members_of(hint: object) -> tuple[object, ...]:
    """Return the members of a union; of another type, the type alone."""
    return typing.get_args(hint) if is_union(hint) else (hint,)


def hints_of(annotated: object, where: str) -> dict[str, object]:
    """Return the resolved annotations of a function or a class.

    Args:
        annotated: the function or the class.
        where: begins the text of an error.

    Raises:
        ConfigError: a name in an annotation is not defined.
    """
    try:
        return typing.get_type_hints(cast("Any", annotated), include_extras=True)
    except NameError as error:
        raise ConfigError(f"{where}: '{error.name}' is not defined") from None
    except (AttributeError, SyntaxError, TypeError) as error:
        raise ConfigError(f"{where}: an annotation cannot be resolved: {error}") from None


def substituted(hint: object, arguments: Mapping[object, object]) -> object:
    """Return a type with its type variables replaced."""
    if isinstance(hint, TypeVar):
        return arguments.get(hint, hint)
    parts = typing.get_args(hint)
    if not arguments or not parts or typing.get_origin(hint) is Literal:
        return hint
    if typing.get_origin(hint) is Annotated:
        return Annotated[(substituted(parts[0], arguments), *parts[1:])]
    if isinstance(parts[0], list):
        # The parameters of a Callable, which no contract takes.
        return hint
    new = tuple(substituted(part, arguments) for part in parts)
    if new == parts:
        return hint
    return rebuilt(hint, new)


def rebuilt(hint: object, parts: tuple[object, ...]) -> object:
    """Return a generic type with other arguments."""
    if is_union(hint):
        return functools.reduce(operator.or_, cast("tuple[Any, ...]", parts))
    origin: Any = typing.get_origin(hint)
    return origin[parts if len(parts) != 1 else parts[0]]


def type_text(hint: object) -> str:
    """Return a type in Python's syntax, without the modules of its classes."""
    if hint is type(None) or hint is None:
        return "None"
    if hint is Ellipsis:
        return "..."
    if is_union(hint):
        return " | ".join(type_text(member) for member in typing.get_args(hint))
    origin = typing.get_origin(hint)
    if origin is Literal:
        return f"Literal[{', '.join(map(_literal, typing.get_args(hint)))}]"
    if origin is Annotated:
        inner, *extras = typing.get_args(hint)
        return f"Annotated[{', '.join([type_text(inner), *map(repr, extras)])}]"
    if origin is not None:
        return f"{type_text(origin)}[{', '.join(map(type_text, typing.get_args(hint)))}]"
    if isinstance(hint, type):
        return hint.__qualname__.rpartition(".")[2]
    name = getattr(hint, "__name__", None)
    return name if isinstance(name, str) else repr(hint).removeprefix("typing.")


def _literal(value: object) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)
