"""The number of parts of an expression, which each tag fixes."""

from __future__ import annotations

from jelly.atoms import Expression, text_of
from jelly.errors import MalformedJelly

__all__ = ["check_arity", "wrong_arity"]


def check_arity(expression: list[Expression], count: int) -> None:
    """Check that an expression has ``count`` parts, its tag included.

    Raises:
        MalformedJelly: it has more or fewer.
    """
    if len(expression) != count:
        raise wrong_arity(expression)


def wrong_arity(expression: list[Expression]) -> MalformedJelly:
    """Return the error for a wrong number or type of the parts after the tag."""
    return MalformedJelly(f"{text_of(expression[0])} of {len(expression) - 1} fields")
