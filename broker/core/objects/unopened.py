"""Unopened values: values of a peer that are not decoded before it has logged in."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from broker.core.objects.releases import PendingReleases
from broker.limit_errors import limit_error
from jelly.atoms import Expression
from jelly.errors import LimitExceeded, MalformedJelly
from jelly.limits import Limits
from jelly.numbers import is_number

__all__ = ["Unopened", "opened"]

# Tags that count as references: objects and caches of both sides, and shared values.
_REFERENCES = frozenset(
    {b"remote", b"local", b"cache", b"cached", b"lcache", b"reference", b"stream", b"promised"}
)
# Tags that a kept value cannot hold, and their names.
_REFUSED = {b"stream": "stream", b"promised": "promise"}


class Unopened:
    """A value that is kept as the received expression.

    If it is collected unopened, its references are released, since the peer has counted them.

    Args:
        expression: of the value.
        unjelly: decodes the expression.
        dropped: takes notes of released references.
        limits: ``max_depth`` is the limit of its depth.
        max_refs: most references in it.

    Raises:
        LimitExceeded: the expression exceeds one of these limits.
    """

    __slots__ = ("__weakref__", "_expression", "_refused", "_release", "_unjelly")

    def __init__(
        self,
        expression: Expression,
        unjelly: Callable[[Expression, object], object],
        dropped: PendingReleases,
        limits: Limits,
        max_refs: int,
    ):
        self._expression = expression
        self._unjelly = unjelly
        heads = _references(expression, limits)
        if len(heads) > max_refs:
            raise limit_error(LimitExceeded, "max_refs", max_refs, len(heads))
        self._refused = next((name for tag, name in _REFUSED.items() if _has(heads, tag)), "")
        self._release = weakref.finalize(self, _let_go, heads, dropped)
        self._release.atexit = False

    def open(self) -> object:
        """Decode the value without a perspective, and return it.

        Raises:
            DecodeError, LimitExceeded: the value is not allowed. An error of a hook is passed on.
        """
        if self._refused:
            raise MalformedJelly(f"a mind cannot hold a {self._refused}")
        self._release.detach()
        return self._unjelly(self._expression, None)


def opened(value: object) -> object:
    """Return the value of an Unopened, and any other value unchanged; see :meth:`Unopened.open`."""
    return value.open() if isinstance(value, Unopened) else value


def _references(expression: Expression, limits: Limits) -> list[list[Expression]]:
    """Return the expressions of references in an expression, at any depth."""
    found: list[list[Expression]] = []
    # The message and its arguments are the first two levels.
    level, depth = [expression], 2
    while level := [item for item in level if type(item) is list]:
        depth += 1
        if depth > limits.max_depth:
            raise limit_error(LimitExceeded, "max_depth", limits.max_depth, depth)
        below: list[Expression] = []
        for item in level:
            if item and item[0] == b"dictionary":
                # Its pairs are lists, but not expressions.
                below += [part for pair in item[1:] if type(pair) is list for part in pair]
            else:
                if item and type(item[0]) is bytes and item[0] in _REFERENCES:
                    found.append(item)
                below += item
        level = below
    return found


def _has(references: list[list[Expression]], tag: bytes) -> bool:
    return any(each[0] == tag for each in references)


def _let_go(references: list[list[Expression]], dropped: PendingReleases) -> None:
    for tag, *fields in references:
        if fields and is_number(fields[0]):
            if tag == b"remote":
                dropped.reference(fields[0], 1)
            elif tag in (b"cache", b"cached"):
                dropped.cache(fields[0], 1)
