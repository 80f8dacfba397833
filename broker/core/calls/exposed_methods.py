"""Makes the rows of a method table: one function for each class attribute that a prefix exposes.

A row is called with the instance before the arguments, like the function of a method. A function is
its own row. Other callables (static and class methods, partial methods, caches, decorators that are
objects) get a function that binds them as Python does.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ROW_CODES", "Refused", "conditions_of", "row_of", "unbound"]

# Descriptors of methods in Python's library that have no __call__.
_METHODS = (classmethod, functools.partialmethod, functools.singledispatchmethod)
# Descriptors of values. Reading one runs code, which a peer's name must not do.
_VALUES = (property, functools.cached_property, types.MemberDescriptorType)


class Refused(Exception):
    """Only an instance can tell whether the attribute is a method."""


def row_of(value: Any, attribute: str) -> types.FunctionType | None:
    """Return the row of a class attribute; None for data, a property, a class or None.

    Raises:
        Refused: the attribute is a descriptor of an unknown kind, and not callable itself.
    """
    row: Any
    if isinstance(value, types.FunctionType):
        row = value
    elif isinstance(value, (type, *_VALUES)):
        return None
    elif isinstance(value, _METHODS) or (callable(value) and hasattr(type(value), "__get__")):
        row = _bound(value)
    elif callable(value):
        row = unbound(value)
    elif hasattr(type(value), "__get__"):
        raise Refused
    else:
        return None
    conditions = conditions_of(value)
    if row is not value:
        if conditions:
            row.broker_conditions = conditions
    elif conditions != getattr(row, "broker_conditions", ()):
        # Conditions of a function that a decorator wraps. The row must not set them on the
        # decorator's function, which belongs to other code.
        row = _bound(value)
        row.broker_conditions = conditions
    return row  # type: ignore[no-any-return]


def conditions_of(value: Any) -> tuple[Callable[[str], object], ...]:
    """Return the conditions of a method and of all functions that it wraps, innermost first."""
    found: list[Callable[[str], object]] = []
    _collect(value, found, [])
    return tuple(found)


def _collect(value: Any, found: list[Callable[[str], object]], seen: list[Any]) -> None:
    if any(value is one for one in seen) or len(seen) >= _MOST_LAYERS:
        return
    seen.append(value)
    for inner in _inside(value):
        _collect(inner, found, seen)
    conditions = getattr(value, "broker_conditions", ())
    if type(conditions) is tuple:  # an object with a ``__getattr__`` may return any value
        found += [one for one in conditions if one not in found]


def _inside(value: Any) -> Iterator[Any]:
    """Yield the callables that a method may wrap."""
    if isinstance(value, functools.singledispatchmethod):
        yield from value.dispatcher.registry.values()
    for name in ("__wrapped__", "__func__", "func"):
        if inspect.getattr_static(value, name, None) is not None:
            yield getattr(value, name)
    if not isinstance(value, types.FunctionType):
        # A decorator that is an object may keep its method under any name. A condition that is not
        # found here would not be checked: any peer could call the method.
        for inner in getattr(value, "__dict__", {}).values():
            if callable(inner) or isinstance(inner, _METHODS):
                yield inner


def _bound(value: Any) -> Any:
    def row(self: Any, /, *args: Any, **kw: Any) -> Any:
        return value.__get__(self, type(self))(*args, **kw)

    return row


def unbound(value: Any) -> Any:
    """Return a row that calls ``value`` without the instance."""

    def row(self: Any, /, *args: Any, **kw: Any) -> Any:
        return value(*args, **kw)

    return row


_MOST_LAYERS = 100
# Code of the frames that a row adds to the traceback of a call.
ROW_CODES = frozenset({_bound(None).__code__, unbound(None).__code__})
