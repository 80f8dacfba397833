"""Replaces the references, and other values, in a value that has come for one call alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from broker.flavors.cacheable import RemoteCache
from broker.flavors.copyable import RemoteCopy
from jelly.fields import shape_of
from jelly.leaves import LEAVES
from jelly.registry import defaults

__all__ = ["exchanged"]

_CONTAINERS = frozenset({list, dict, set, tuple, frozenset})


def exchanged(
    value: Any, kinds: tuple[type, ...], replace: Callable[[Any], object], known: dict[int, object]
) -> Any:
    """Return a value with each instance of some classes replaced.

    A list, a dict, a set and a copy have come for this call alone, and are changed in place. A
    RemoteCache is not: it stays when the call has ended.

    Args:
        value: as a connection has decoded it; its depth is limited by the policy.
        kinds: the classes.
        replace: returns what to put in place of an instance.
        known: the values that were met, and what they became; empty at first.
    """
    kind = type(value)
    if kind in LEAVES:
        return value
    if isinstance(value, kinds):
        return replace(value)
    is_copy = kind not in _CONTAINERS
    if is_copy and not _is_copy(value):
        return value
    if id(value) in known:
        return known[id(value)]
    if not is_copy and _has_leaves_only(value):
        return value
    known[id(value)] = value

    def walk(item: Any) -> Any:
        return item if type(item) in LEAVES else exchanged(item, kinds, replace, known)

    if is_copy:
        _exchange_fields(value, walk)
    elif kind is list:
        value[:] = [walk(item) for item in value]
    elif kind is dict:
        items = [(walk(key), walk(item)) for key, item in value.items()]
        value.clear()
        value.update(items)
    elif kind is set:
        members = [walk(item) for item in value]
        value.clear()
        value.update(members)
    else:
        known[id(value)] = value = kind([walk(item) for item in value])
    return value


def _has_leaves_only(container: Any) -> bool:
    """Whether nothing in a container can be a reference; takes a quarter of the time of a walk."""
    if not LEAVES.issuperset(map(type, container)):
        return False
    return type(container) is not dict or LEAVES.issuperset(map(type, container.values()))


def _is_copy(value: object) -> bool:
    if isinstance(value, RemoteCopy):
        return not isinstance(value, RemoteCache)
    return type(value) in defaults.declared.with_fields


def _exchange_fields(value: object, walk: Callable[[Any], object]) -> None:
    put = structs.force_setattr if isinstance(value, Struct) else object.__setattr__
    names = {**getattr(value, "__dict__", {}), **dict.fromkeys(shape_of(type(value)).names)}
    for name in names:
        found = getattr(value, name, None)
        taken = walk(found)
        if taken is not found:
            put(value, name, taken)  # type: ignore[arg-type]
