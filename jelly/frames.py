"""A frame: a value whose parts an unjellier is making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["Frame"]


class Frame(NamedTuple):
    """A value whose parts are being made.

    Attributes:
        parts: the parts made so far.
        rest: the expressions of the parts to come.
        finish: ``finish(unjellier, parts, target)`` returns the value once all parts are there; or
            another frame, which goes on with the same value.
        target: what is filled; None where the value does not exist before its parts.
        number: of the reference that stands for the value, where that is not known yet.
    """

    parts: list[Any]
    rest: Iterator[Any]
    finish: Callable[[Unjellier, list[Any], Any], Any]
    target: Any
    number: int | None
