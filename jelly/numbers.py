"""The numbers of the protocol: ids of objects, caches, references inside a graph, and requests.

A receiver uses them as keys of its tables. Python hashes an int modulo 2**61 - 1. With wider ints,
a peer could make all of them collide. Every number that a peer sends is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from jelly.atoms import Expression, text_of
from jelly.errors import MalformedJelly

__all__ = ["LARGEST", "is_number", "number_in"]

LARGEST = (1 << 63) - 1
"""The largest number; the smallest is 0."""


def is_number(value: object) -> TypeGuard[int]:
    """Return whether a value is an int, and not a bool, from 0 to `LARGEST`."""
    return type(value) is int and 0 <= value <= LARGEST


def number_in(expression: Sequence[Expression]) -> int:
    """Return the number that follows the tag of an expression.

    Raises:
        MalformedJelly: there is no number, or it is out of range.
    """
    if len(expression) < 2 or not is_number(expression[1]):
        raise MalformedJelly(f"{text_of(expression[0])} without a number from 0 to 2**63-1")
    return expression[1]
