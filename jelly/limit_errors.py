"""Makes the errors of limits: their attributes are the limit and its numbers.

All their texts are in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

__all__ = ["KEYS", "PREFIX", "SENT", "TEXTS", "Texts", "as_kind", "limit_error"]


class HasLimit(Protocol):
    """An error that has the attributes of a limit; see ``jelly.errors``."""

    limit: str
    most: float | None
    got: float | None


Beyond = TypeVar("Beyond", bound=HasLimit)
Texts = Mapping[tuple[str, str], str]

SENT = "sent"
"""The text is for the program that sends; it may tell what to do instead."""

KEYS = "keys"
"""The text is about all keys of one message."""

PREFIX = "prefix"
"""The text is about the digits of a prefix of banana."""

TEXTS: Texts = {
    ("max_prefix", ""): "int of {got} bits (max_prefix {most})",
    ("max_prefix", SENT): "int of {got} bits (max_prefix {most}: {bits} bits)",
    ("max_prefix", PREFIX): "integer prefix longer than {most} bytes",
    ("max_string", ""): "string of {got} bytes (max_string {most})",
    ("max_string", SENT): (
        "bytes of {got} (max_string {most}); send it in pieces, see broker.pb.StringPager"
    ),
    ("max_list", ""): "list of {got} elements (max_list {most})",
    ("max_depth", ""): "nesting deeper than {most} (max_depth)",
    ("max_expression", ""): "expression larger than {most} bytes (max_expression)",
    ("max_expression", SENT): (
        "expression of {got} bytes (max_expression {most}); send it in pieces"
    ),
    ("max_nodes", ""): "expression of more than {most} nodes (max_nodes)",
    ("max_nodes", SENT): "expression of {got} nodes (max_nodes {most})",
    ("max_nodes", KEYS): "keys expand to more than {most} nodes (max_nodes)",
    ("max_expanded", ""): "graph expands to more than {most} nodes (max_expanded)",
    ("max_key_nodes", ""): "key expands to more than {most} nodes (max_key_nodes)",
    ("max_decimal_digits", ""): "decimal of more than {most} digits (max_decimal_digits)",
    ("max_decimal_exponent", ""): "decimal exponent out of range (max_decimal_exponent)",
}
"""The texts of the limits of ``jelly.limits``, by limit and purpose of the text.

``docs/reference/limits.md`` shows the same texts.
"""


def limit_error(
    kind: Callable[[str], Beyond],
    limit: str,
    most: float | None = None,
    got: float | None = None,
    what: str = "",
    texts: Texts = TEXTS,
    **others: float,
) -> Beyond:
    """Return an error of the given class, with the text and the attributes of a limit.

    Args:
        kind: the class of the error.
        limit: the name of the setting.
        most: the value of the setting.
        got: the number that exceeded it, in the unit of the text; None if it is not known.
        what: selects one of the texts of this limit.
        texts: the table of texts.
        others: other numbers in the text.

    Raises:
        KeyError: the table does not have the text, or a number in the text is not given.
    """
    error = kind(texts[limit, what].format(most=most, got=got, **others))
    error.limit, error.most, error.got = limit, most, got
    return error


def as_kind(kind: Callable[[str], Beyond], error: HasLimit) -> Beyond:
    """Return an error of another class with the same text and the same attributes of a limit."""
    other = kind(str(error))
    other.limit, other.most, other.got = error.limit, error.most, error.got
    return other
