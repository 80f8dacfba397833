"""Slices: long work is cut into short pieces, so that its caller can do other things in between.

A walk over a graph is a generator. It yields `UNFINISHED` after each slice, and its result at the
end. Whoever has nothing else to do meanwhile calls `finish`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["PARTS", "UNFINISHED", "VISITS", "finish"]

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
