"""Keys and values of tables: which there are, their types, and their sizes.

A key is a str, an int of at most 64 bits, bytes, or a tuple of keys. A value is anything that is
sent without a reference to an object of this end: builtin values, and instances of classes that
are registered with ``broker.register``.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import msgspec

from broker.errors import TooLarge, WrongType
from broker.flavors.cacheable import Cacheable
from broker.flavors.copyable import Copyable
from jelly.fields import fields_of
from jelly.registry import defaults

__all__ = [
    "MOST_BYTES",
    "ROOM",
    "check_key",
    "check_size",
    "is_data",
    "size_of",
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


def _check_width(key: object) -> None:
    if isinstance(key, int) and key.bit_length() > 64:
        raise WrongType("an int of more than 64 bits cannot be the key of a table")


def _check_parts(key: object) -> None:
    level: list[Any] = [key]
    depth = 0
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
