"""Keys and values of tables: which there are, their types, and their sizes.

A key is a str, an int of at most 64 bits, bytes, or a tuple of keys. A value is anything that is
sent without a reference to an object of this end: builtin values, and instances of classes that
are registered with ``broker.register``.
"""

from __future__ import annotations

import datetime
import decimal
import typing
import uuid
from typing import Any, NamedTuple

import msgspec

from broker.errors import ConfigError, TooLarge, WrongType
from broker.flavors.cacheable import Cacheable
from broker.flavors.copyable import Copyable
from jelly.fields import fields_of
from jelly.registry import defaults

__all__ = [
    "ANYTHING",
    "MOST_BYTES",
    "ROOM",
    "Types",
    "arguments_of",
    "check_key",
    "check_size",
    "is_data",
    "size_of",
    "types_of",
]

MOST_BYTES = 65_536
"""Most bytes of a message with changes for a follower that catches up; also of a key and its value,
in ``msgpack/1``."""

ROOM = 256
"""Bytes of such a message for everything but keys and values."""

_DEEPEST = 50
_SCALARS = frozenset(
    {str, int, float, bool, bytes, type(None), decimal.Decimal, uuid.UUID}
    | {datetime.date, datetime.time, datetime.datetime, datetime.timedelta}
)
_LISTS = frozenset({list, tuple, set, frozenset})
# Bytes that an object counts that msgspec does not encode.
_OBJECT = b"\0" * 100


def check_key(key: object) -> None:
    """Raise WrongType, a TypeError, if this cannot be a key."""
    kind = type(key)
    if kind is str or kind is bytes:
        return
    if kind is int:
        _check_width(key)
    elif kind is tuple:
        _check_parts(key)
    else:
        raise _not_a_key(key)


def _check_width(key: Any) -> None:
    if key.bit_length() > 64:
        raise WrongType("an int of more than 64 bits cannot be the key of a table")


def _check_parts(key: Any) -> None:
    level, depth = [key], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise WrongType(f"the key of a table has at most {_DEEPEST} levels of tuples")
        inner: list[Any] = []
        for parts in level:
            for part in parts:
                kind = type(part)
                if kind is tuple:
                    inner.append(part)
                elif kind is int:
                    _check_width(part)
                elif kind is not str and kind is not bytes:
                    raise _not_a_key(part)
        level = inner


def _not_a_key(key: object) -> WrongType:
    return WrongType(
        f"{type(key).__name__} in a key: the key of a table is a str, an int, bytes, or a tuple of"
        " these"
    )


def is_data(value: object) -> bool:
    """Return whether a value is builtin data alone, without instances of registered classes.

    Raises:
        WrongType: a TypeError: it has something that cannot be a value of a table.
    """
    if type(value) in _SCALARS:
        return True
    found, seen = True, set[int]()
    level: list[Any] = [value]
    while level:
        inner: list[Any] = []
        for each in level:
            kind = type(each)
            if kind in _SCALARS or id(each) in seen:
                continue
            seen.add(id(each))
            if kind in _LISTS:
                inner.extend(each)
            elif kind is dict:
                inner.extend(each.keys())
                inner.extend(each.values())
            elif kind in defaults.declared.forms:
                found = False
                state: Any = defaults.declared.forms[kind].state(each)
                inner.extend(state.values())
            elif _is_copied(kind):
                found = False
                inner.extend(fields_of(each).values())
            elif _has_zone(kind):
                found = False
            else:
                raise WrongType(
                    f"{kind.__name__} in a value: the value of a table is builtin data, or an"
                    " instance of a class that is registered with @broker.register"
                )
        level = inner
    return found


def _is_copied(kind: type) -> bool:
    """Whether instances of a class are sent as copies of their declared fields."""
    declared = kind in defaults.declared.with_fields
    return declared and issubclass(kind, Copyable) and not issubclass(kind, Cacheable)


def _has_zone(kind: type) -> bool:
    """Whether this is what a typed table sends for a datetime."""
    from broker.flavors.contracts.leaves import ZonedDatetime

    return kind is ZonedDatetime


_encode = msgspec.msgpack.Encoder(enc_hook=lambda value: _OBJECT).encode


def size_of(*parts: object) -> int:
    """Return about how many bytes these values take in ``msgpack/1``."""
    try:
        return len(_encode(parts))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return sum(map(_rough_size, parts))


def _rough_size(value: object) -> int:
    """Return the size of a value that msgspec does not encode, such as an int of 100 bits."""
    total, level, seen = 0, [value], set[int]()
    while level:
        inner: list[object] = []
        for each in level:
            if isinstance(each, list | tuple | set | frozenset | dict):
                if id(each) in seen:
                    continue
                seen.add(id(each))
                inner.extend(each)
                if isinstance(each, dict):
                    inner.extend(each.values())
                total += 5
            elif isinstance(each, str):
                total += len(each.encode("utf-8", "surrogatepass")) + 5
            elif isinstance(each, bytes):
                total += len(each) + 5
            elif isinstance(each, int):
                total += each.bit_length() // 7 + 10
            else:
                total += len(_OBJECT)
        level = inner
    return total


def check_size(size: int) -> None:
    """Raise TooLarge if a key and its value take more bytes than a message has."""
    if size > MOST_BYTES - ROOM:
        raise TooLarge(f"key and value of {size} bytes ({MOST_BYTES - ROOM})")


class Types(NamedTuple):
    """The types of the keys and values of a table or a view; None where all are taken.

    Attributes:
        key, value: convert and check; see ``contracts.values.Value``.
        text: the types in Python's syntax.
    """

    key: Any = None
    value: Any = None
    text: str = ""

    def sent(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Return what is sent for a key and its value.

        Raises:
            WrongType: a TypeError: one of them does not have its type.
        """
        return self._each("send", key, value)

    def received(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Return a received key and its value, as instances of their types.

        Raises:
            WrongType: a TypeError: one of them does not have its type.
        """
        return self._each("receive", key, value)

    def _each(self, way: str, key: Any, value: Any) -> tuple[Any, Any]:
        from broker.flavors.contracts.stand_ins import Mismatch

        what = "key"
        try:
            if self.key is not None:
                key = getattr(self.key, way)(key)
            what = "value"
            if self.value is not None:
                value = getattr(self.value, way)(value)
        except Mismatch as error:
            place = f"{what}{error.place}"
            raise WrongType(f"{self.text}: {place}: {error.text}") from None
        return key, value


ANYTHING = Types()
"""For tables without types."""


def types_of(name: str, arguments: tuple[Any, ...]) -> Types:
    """Return the types of a table or view with these arguments, as of ``Table[str, float]``.

    Raises:
        ConfigError: values of a type cannot be sent, or have references.
    """
    # Loaded for typed tables only.
    from broker.flavors.contracts.hints import type_text
    from broker.flavors.contracts.values import Value

    if len(arguments) != 2:
        raise ConfigError(f"{name} has two types: those of its keys and of its values")
    text = f"{name}[{', '.join(map(type_text, arguments))}]"

    def no_reference(hint: object, where: str) -> Any:
        raise ConfigError(f"{where}: the values of a table cannot be references")

    made = [
        None if _is_open(hint) else Value(hint, f"{text}: {what}", no_reference)
        for what, hint in zip(("key", "value"), arguments, strict=True)
    ]
    key, value = (None if each is None or each.is_free else each for each in made)
    return ANYTHING if key is value is None else Types(key, value, text)


def _is_open(hint: object) -> bool:
    return hint is Any or hint is object or type(hint).__name__ == "TypeVar"


def arguments_of(cls: type, generic: type) -> tuple[Any, ...]:
    """Return the types that a class gives to a generic base; empty if it gives none."""
    return _arguments(cls, generic, {})


def _arguments(cls: type, generic: type, outer: dict[object, object]) -> tuple[Any, ...]:
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: Any = typing.get_origin(base) or base
        if not isinstance(origin, type) or not issubclass(origin, generic):
            continue
        given = tuple(_substituted(each, outer) for each in typing.get_args(base))
        if origin is generic:
            return given
        variables = getattr(origin, "__parameters__", ())
        return _arguments(origin, generic, dict(zip(variables, given, strict=False)))
    return ()


def _substituted(hint: object, outer: dict[object, object]) -> object:
    if not outer:
        return hint
    from broker.flavors.contracts.hints import substituted

    return substituted(hint, outer)
