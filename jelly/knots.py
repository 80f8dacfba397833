"""Forward references: placeholders for values of a cycle that cannot be made yet.

A tuple or a frozenset needs all its members when it is made. If it is part of a cycle, an inner
member refers to the outer value before that exists; a Knot takes its place. The work that must wait
because of knots is done at the end of the operation. Its order is the order in which it was
delayed: from the inside to the outside. If a knot is left then, the peer's expression is invalid.
"""

from __future__ import annotations

from collections.abc import Callable

from jelly.errors import MalformedJelly
from jelly.slices import UNFINISHED, Walk

__all__ = ["Knot", "Knots", "tie"]

_MISSING: object = object()
# Steps in a slice of work; one step may hash a few keys of max_key_nodes.
_STEPS = 16


class Knot:
    """The placeholder of a value that will be known later.

    Attributes:
        value: that value.
        what: its name for an error.
    """

    __slots__ = ("value", "what")

    def __init__(self) -> None:
        self.value = _MISSING
        self.what = "tuple"


class Knots:
    """The delayed work of one operation.

    Attributes:
        are_used: whether any knot is in use. From then on, values whose making looks at their
            members (keys, set members, states) are made at the end.
    """

    __slots__ = ("_waiting", "are_used")

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []
        self.are_used = False

    def mark(self) -> int:
        """Return the position at which the work of a nested operation begins; for `settle`."""
        return len(self._waiting)

    def wait(self, work: Callable[[], object]) -> None:
        """Delay a piece of work until the end."""
        self._waiting.append(work)

    def settle(self, since: int) -> Walk[None]:
        """Do the work that was delayed since ``mark`` returned ``since``.

        A walk of ``jelly.slices``, whose result is None.
        """
        work = self._waiting[since:]
        del self._waiting[since:]
        for number, step in enumerate(work, 1):
            step()
            if number % _STEPS == 0:
                yield UNFINISHED
        yield None


def tie(values: list[object]) -> None:
    """Replace the knots among ``values`` by their values.

    Raises:
        MalformedJelly: the value of a knot contains itself.
    """
    if Knot not in map(type, values):
        return
    for index, value in enumerate(values):
        if type(value) is Knot:
            if value.value is _MISSING:
                raise MalformedJelly(f"{value.what} contains itself")
            values[index] = value.value
