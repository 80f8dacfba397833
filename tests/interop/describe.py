"""Python values as text: the type of each part, and which containers are the same one."""

from __future__ import annotations

import zlib

__all__ = ["describe", "text"]

LONG = 200
IDENTIFIED = (list, dict, set)
# The types whose repr is the same everywhere; for other types, only the name is used.
PLAIN_MODULES = ("builtins", "datetime", "decimal")


def text(value):
    """Return str for a value that one of Twisted and broker has as bytes and the other as str."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def describe(value):
    """Return the value as text; a repeated list, dict or set is ``same`` and its number."""
    return _describe(value, {})


def _describe(value, numbers):
    if isinstance(value, IDENTIFIED):
        if id(value) in numbers:
            return f"same {numbers[id(value)]}"
        numbers[id(value)] = len(numbers) + 1
    name = type(value).__name__
    if isinstance(value, dict):
        items = [f"{_describe(k, numbers)}: {_describe(v, numbers)}" for k, v in value.items()]
        return f"{name}({', '.join(items)})"
    if isinstance(value, (list, tuple)):
        return f"{name}({', '.join(_describe(item, numbers) for item in value)})"
    if isinstance(value, (set, frozenset)):
        return f"{name}({', '.join(sorted(_describe(item, numbers) for item in value))})"
    if isinstance(value, (bytes, str)) and len(value) > LONG:
        octets = value if isinstance(value, bytes) else value.encode("utf-8")
        return f"{name} of {len(value)}, crc {zlib.crc32(octets):08x}"
    if value is None:
        return "None"
    return f"{name} {value!r}" if type(value).__module__ in PLAIN_MODULES else name
