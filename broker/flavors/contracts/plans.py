"""Plans: how values of one type are sent, and as which type of msgspec they are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

__all__ = ["Lower", "Plan", "Planner"]

Lower: TypeAlias = Callable[[object], object]
"""Takes a value and returns the one that is sent; it leaves values of another type as they are."""


class Plan(Struct, frozen=True):
    """How values of a type are sent and checked.

    Attributes:
        wire: the type that msgspec checks, in which stand-ins have replaced some classes.
        lower: returns what is sent for a value; None for the value itself.
        kinds: the classes of the values, to choose between the members of a union.
        is_record: whether it is a class that is sent as a dict.
        is_hashable: whether a lowered value can be in a set.
    """

    wire: object
    lower: Lower | None = None
    kinds: tuple[type, ...] = ()
    is_record: bool = False
    is_hashable: bool = True


Planner: TypeAlias = Callable[[object, str], Plan]
"""Makes the plan of a type; its second argument begins the text of a ConfigError."""
