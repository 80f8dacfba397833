"""The answer of a remote method, as JSON for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["as_json"]

_CYCLE = "<the same again>"
_PLAIN = (str, int, float, bool, type(None))


def as_json(answer: Any) -> str:
    """Return an answer as JSON, indented.

    Tuples and sets become lists, those of a set in a fixed order. What JSON has not is text as
    Python shows it: bytes, dates, and objects, such as a reference to one of the server's; keys
    that are no text, too. Where an object contains itself, a text says so.
    """
    return json.dumps(_told(answer, ()), ensure_ascii=False, indent=2)


def _told(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if id(value) in above:
        return _CYCLE
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else repr(key): _told(each, inside)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_told(each, inside) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_told(each, inside) for each in value), key=_order)
    return repr(value)


def _order(told: Any) -> str:
    return json.dumps(told, ensure_ascii=False)
