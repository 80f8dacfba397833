"""Plain values: trees of builtin types that are sent without a jellier in ``msgpack/1``.

A plain value is None, a bool, int, float or str, or a list of plain values, or a dict with str keys
and plain values. Its type is exactly one of these, since a receiver could not recognise a subclass.
It has at most DEPTH levels of containers. No container occurs twice, since a receiver could not
recognise sharing. Arguments are a tuple of plain values. Bytes are not plain: a typed decoder
accepts either str or bytes in one place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from gc import get_referents
from itertools import chain
from typing import TYPE_CHECKING, Any, NewType, TypeAlias

from jelly.atoms import Expression
from jelly.leaves import SCALARS

__all__ = [
    "ARGUMENTS",
    "DEEPEST",
    "DEPTH",
    "GRAPH",
    "KEYWORDS",
    "PLAIN_SCALARS",
    "VALUE",
    "are_plain",
]

DEPTH = 6
"""Most levels of containers, without the arguments themselves."""

DEEPEST = 100
"""The largest ``max_depth`` with which every graph can be decoded: the depth of the types."""

# Two levels more than max_depth: the list of a scalar inside the deepest list, and the message.
_GRAPH_DEPTH = DEEPEST + 2

PLAIN_SCALARS = SCALARS - {bytes}
"""The types of plain values that hold no other."""
_CONTAINERS = frozenset({list, dict})
_TEXT = frozenset({str})


def are_plain(values: Iterable[object], most: int = sys.maxsize) -> bool:
    """Return whether these values are plain, and share no container with each other.

    Args:
        values: to check.
        most: most values in their containers; with more, the result is False.
    """
    level = [value for value in values if type(value) not in PLAIN_SCALARS]
    return not level or _are_trees(level, most)


def _are_trees(level: list[object], most: int) -> bool:
    seen: set[int] = set()
    for _ in range(DEPTH):
        if not _CONTAINERS.issuperset(map(type, level)):
            return False
        ids = set(map(id, level))
        if len(ids) != len(level) or not seen.isdisjoint(ids):
            return False
        seen |= ids
        keys = chain.from_iterable(item for item in level if type(item) is dict)
        if not _TEXT.issuperset(map(type, keys)):
            return False
        # All values of one level, at once and in C: takes a third of the time of a loop.
        held = get_referents(*level)
        most -= len(held)
        if most < 0:
            return False
        if PLAIN_SCALARS.issuperset(map(type, held)):
            return True
        level = [item for item in held if type(item) not in PLAIN_SCALARS]
    return False


def _value_type(depth: int) -> object:
    leaf: Any = bool | int | float | str | None
    found = leaf
    for _ in range(depth):
        found = leaf | list.__class_getitem__(found) | dict.__class_getitem__((str, found))
    return found


def _graph_type() -> object:
    leaf: Any = int | float | bytes
    found = leaf
    for _ in range(_GRAPH_DEPTH):
        found = leaf | list.__class_getitem__(found)
    return found


# Types for the typed decoder, which so checks depth and keys while it decodes. A checker of types
# has no need of the depth.
if TYPE_CHECKING:
    VALUE: TypeAlias = object
    ARGUMENTS: TypeAlias = tuple[object, ...]
    KEYWORDS: TypeAlias = dict[str, object]
    GRAPH: TypeAlias = Expression
else:
    # New types, since Python looks for names in the arguments of all others: in a union of six
    # levels that takes longer than the import of all other modules of the core.
    VALUE = NewType("VALUE", _value_type(DEPTH))
    ARGUMENTS = tuple[VALUE, ...]
    KEYWORDS = dict[str, VALUE]
    GRAPH = NewType("GRAPH", _graph_type())
