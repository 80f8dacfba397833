"""The records of a jellier's walk: the objects that were visited, and the parts still to write."""

from __future__ import annotations

from typing import NamedTuple, final

from msgspec import Struct

from jelly import atoms, leaves
from jelly.atoms import Expression

__all__ = ["MOST_AT_ONCE", "Names", "Pair", "Seen", "Stateful"]

MOST_AT_ONCE = 1024
"""Most entries of a dict that are written in one visit, and most keys in a cache."""


class Seen(Struct, gc=False):
    """An object that was visited, with its expression and its number.

    The reference to the object keeps its id from being used again.
    """

    value: object
    expression: list[Expression]
    number: int = 0
    is_complete: bool = False

    def complete(self) -> None:
        """Note that the expression is whole; it gets its number if there is one."""
        self.is_complete = True
        if self.number:
            self.expression[:] = [atoms.REFERENCE, self.number, self.expression[:]]


@final
class Stateful(NamedTuple):
    """The expression of an instance, whose last part is its state.

    Attributes:
        expression: the parts before the state.
        state: an object, to be written next.
        is_unshared: whether the state was made for this message, and has no other reference.
    """

    expression: list[Expression]
    state: object
    is_unshared: bool = False


class Names(dict[str, Expression]):
    """A cache of the expressions of keys, since the copies in a list have the same fields."""

    def __missing__(self, name: str) -> Expression:
        expression = leaves.write_str(name)
        if len(self) < MOST_AT_ONCE:
            self[name] = expression
        return expression


class Pair(tuple[object, object]):
    """A key and value of a dict; on the wire, they are a list without a tag."""

    __slots__ = ()
