"""Slices: long work is cut into short pieces, so that its caller can do other things in between.

A walk over a graph is a generator. It yields `UNFINISHED` after each slice, and its result at the
end. Whoever has nothing else to do meanwhile calls `finish`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["MANY", "PARTS", "UNFINISHED", "VISITS", "consumed", "finish"]

UNFINISHED: Final[Any] = object()
"""What a walk yields while it has no result."""

VISITS: Final = 100
"""Visits of a slice. A visit handles one container, or `PARTS` parts of a longer one."""

PARTS: Final = 16
"""Parts of a container that one visit handles."""


def finish(walk: Iterator[Any]) -> Any:
    """Run a walk to its end, and return its result."""
    result = next(walk)
    while result is UNFINISHED:
        result = next(walk)
    return result


MANY: Final = 1024
"""Items of a list that is worth to be emptied; see `consumed`."""

_END: Any = object()


def consumed(items: list[Any]) -> Iterator[Any]:
    """Return the items of a list, which loses each one when it is taken.

    What a walk has done with is freed so while the walk goes on: a large graph and its expression
    are never whole at the same time, which halves the memory and the work of the garbage collector.
    """
    items.append(_END)
    items.reverse()
    return iter(items.pop, _END)
