"""Slices: long work is done in short pieces, so that its caller can do other work in between.

A walk over a graph is a generator. It yields `UNFINISHED` after each slice, and its result at the
end. A caller without other work calls `finish`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias, TypeVar

__all__ = ["MANY", "PARTS", "UNFINISHED", "VISITS", "Walk", "consumed", "finish"]

T = TypeVar("T")


class _State(enum.Enum):
    UNFINISHED = "unfinished"


UNFINISHED: Final = _State.UNFINISHED
"""Yielded by a walk while it has no result."""

Walk: TypeAlias = Iterator[T | Literal[_State.UNFINISHED]]
"""A walk whose result is a T."""

VISITS: Final = 100
"""Visits in a slice. A visit handles one container, or `PARTS` parts of a longer one."""

PARTS: Final = 16
"""Parts of a container that one visit handles."""


def finish(walk: Walk[T]) -> T:
    """Run a walk to its end, and return its result."""
    result = next(walk)
    while result is UNFINISHED:
        result = next(walk)
    return result


MANY: Final = 1024
"""Least number of items of a list that is emptied; see `consumed`."""

_END: Any = object()


def consumed(items: list[T]) -> Iterator[T]:
    """Return an iterator over a list that removes each item from the list.

    So the finished parts are freed during the walk. A large graph and its expression never exist
    completely at the same time, which halves the memory and the work of the garbage collector.
    """
    items.append(_END)
    items.reverse()
    return iter(items.pop, _END)
