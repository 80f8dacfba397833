"""A frame: a value whose parts an unjellier is making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from jelly.atoms import Expression

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["Frame"]


class Frame(NamedTuple):
    """A value whose parts are being made.

    Attributes:
        parts: the parts made so far.
        rest: the expressions of the remaining parts.
        finish: ``finish(unjellier, parts, target)`` is called when all parts are made. It returns
            the value, or another frame for the same value.
        target: the object to fill; None if the value does not exist before its parts.
        number: the number of the reference to the value, if the value is not known yet.
    """

    parts: list[object]
    rest: Iterator[Expression]
    finish: Callable[[Unjellier, list[object], Any], object]
    target: object
    number: int | None
