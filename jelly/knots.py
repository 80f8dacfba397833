"""Values that cannot be made yet because they are part of what they hold.

A tuple or a frozenset needs all its members when it is made. In a cycle that leads through one, an
inner member meets a reference to the outer value before that exists; a Knot stands in its place.
All that was put off because of knots is done at the end of the operation, in the order in which it
was put off, which is inside out; then no knot is left, or the peer's expression had no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jelly.errors import MalformedJelly
from jelly.slices import UNFINISHED

__all__ = ["Knot", "Knots", "tie"]

_MISSING: Any = object()
# Steps of a slice; one may hash a few keys of max_key_nodes.
_STEPS = 16


class Knot:
    """Stands for a value that will be known later."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = _MISSING


class Knots:
    """The work of one operation that waits for its knots.

    Attributes:
        are_used: whether any knot was handed out; from then on nothing whose making looks at its
            members (keys, set members, states) is made before the end.
    """

    __slots__ = ("_waiting", "are_used")

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self.are_used = False

    def mark(self) -> int:
        """Return the place from which a nested operation's work is settled."""
        return len(self._waiting)

    def wait(self, work: Callable[[], None]) -> None:
        """Put off a piece of work to the end."""
        self._waiting.append(work)

    def settle(self, since: int) -> Iterator[Any]:
        """Do what was put off since ``mark`` returned ``since``: a walk as of ``jelly.slices``.

        Its result is None.
        """
        work = self._waiting[since:]
        del self._waiting[since:]
        for number, step in enumerate(work, 1):
            step()
            if number % _STEPS == 0:
                yield UNFINISHED
        yield None


def tie(values: list[Any]) -> None:
    """Replace the knots among ``values`` by what they stand for.

    Raises:
        MalformedJelly: one of them stands for a value that holds itself.
    """
    if Knot not in map(type, values):
        return
    for index, value in enumerate(values):
        if type(value) is Knot:
            if value.value is _MISSING:
                raise MalformedJelly("tuple contains itself")
            values[index] = value.value
