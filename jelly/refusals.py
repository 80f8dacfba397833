"""Errors for values that may not be sent and types that are not accepted, with the fix."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from jelly import atoms
from jelly.atoms import text_of
from jelly.errors import CannotJelly, InsecureJelly
from jelly.security import class_name

__all__ = ["cannot_be_sent", "not_registered"]

_PAGE = "see 'Send your own objects'"
_AS_TEXT = "send str(value)"
_AS_LIST = "send list(value)"
_REGISTER = "register it with @broker.register"
_CALLBACK = "wrap it in broker.callback"

# By the top-level module and the name of a class or one of its bases. No module is imported.
_WAYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pathlib.PurePath": "send str(path)",
        "ipaddress.IPv4Address": _AS_TEXT,
        "ipaddress.IPv6Address": _AS_TEXT,
        "ipaddress.IPv4Network": _AS_TEXT,
        "ipaddress.IPv6Network": _AS_TEXT,
        "fractions.Fraction": _AS_TEXT,
        "datetime.tzinfo": _AS_TEXT,
        "re.Pattern": "send value.pattern",
        "builtins.complex": "send (value.real, value.imag)",
        "builtins.BaseException": "raise it, or send str(value)",
        "builtins.builtin_function_or_method": _CALLBACK,
        "functools.partial": _CALLBACK,
        "builtins.range": _AS_LIST,
        "builtins.generator": f"{_AS_LIST}, or wrap an async one in broker.Stream",
        "io.IOBase": "use broker.read_file",
        "_io._IOBase": "use broker.read_file",
        "builtins.dict_keys": _AS_LIST,
        "builtins.dict_values": _AS_LIST,
        "builtins.dict_items": _AS_LIST,
        "collections.deque": _AS_LIST,
    }
)
# By the name of a base class in numpy.
_SCALARS: Final[Mapping[str, str]] = MappingProxyType(
    {"floating": "send float(value)", "integer": "send int(value)", "bool": "send bool(value)"}
)
# Types that can be sent. A subclass cannot: the receiver would get the base type.
_CROSSING: tuple[type, ...] = (
    *(tuple, list, dict, set, frozenset, str, bytes, int, float),
    *(decimal.Decimal, datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
)
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_TAGS = frozenset(value for value in vars(atoms).values() if isinstance(value, bytes))


def cannot_be_sent(value: object) -> CannotJelly:
    """Return the error for a value that may not be sent; the text says what to send instead."""
    name, way = _refused(value, type(value))
    return CannotJelly(f"{name} cannot be sent: {way}; {_PAGE}").about(value)


def _refused(value: object, cls: type) -> tuple[str, str]:
    """Return the name of a value for the error, and the fix."""
    name = class_name(cls)
    if isinstance(value, enum.Enum):
        return f"enum {name}", f"{_REGISTER}, or send its value"
    for base in cls.__mro__:
        way = _WAYS.get(f"{base.__module__.partition('.')[0]}.{base.__name__}")
        if way is not None:
            return name, way
    if cls.__module__.partition(".")[0] == "numpy":
        is_scalar = any(base.__name__ == "generic" for base in cls.__mro__)
        return name, _scalar_way(cls) if is_scalar else "send value.tolist()"
    for kind in _CROSSING:
        if isinstance(value, kind):
            called = f"an {kind.__name__}" if kind is int else f"a {kind.__name__}"
            made = f"{kind.__name__}(value)" if kind.__module__ == "builtins" else called
            return f"{called} of class {name}", f"send {made}"
    if dataclasses.is_dataclass(cls) or issubclass(cls, Struct):
        return name, f"{_REGISTER} to send a copy, or make it Referenceable to send a reference"
    return name, "make it Copyable to send a copy, or Referenceable to send a reference"


def _scalar_way(cls: type) -> str:
    """Return how to send a scalar of numpy."""
    for base, way in _SCALARS.items():
        if any(each.__name__ == base for each in cls.__mro__):
            return way
    return "send value.item()"


def not_registered(tag: bytes | str) -> InsecureJelly:
    """Return the error for an incoming type that is not allowed; the text says how to allow it."""
    encoded = tag.encode("utf-8", "replace") if isinstance(tag, str) else tag
    text = f"type '{text_of(tag)}' is not registered"
    if _NAME.fullmatch(encoded) and encoded not in _TAGS:
        text += f'; register a class under that name: @broker.register("{text_of(tag)}"); {_PAGE}'
    return InsecureJelly(text)
