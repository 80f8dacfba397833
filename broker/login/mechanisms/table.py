"""The table of login mechanisms, and what the two ends of a login look up in it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from typing import Any

from broker.login.mechanisms.mechanism import AnyMechanism

__all__ = ["MechanismTable"]


class MechanismTable:
    """Login mechanisms, strongest first.

    Args:
        rows: the mechanisms; names are unique.

    Attributes:
        rows: as given.
        mind_arguments: the methods of all of them, and which argument of each is the mind, or None.
        first_calls: the methods of a login object, each with the mechanism that implements it. If
            several begin with the same call, the first implements it for all.
    """

    def __init__(self, rows: Iterable[AnyMechanism]):
        self.rows = tuple(rows)
        self.mind_arguments: dict[str, int | None] = {}
        self.first_calls: dict[str, AnyMechanism] = {}
        for row in self.rows:
            self.mind_arguments.update(row.calls)
            self.first_calls.setdefault(row.calls[0].name, row)

    def checked_by(self, kinds: Iterable[object]) -> tuple[AnyMechanism, ...]:
        """Return the mechanisms whose credentials a portal checks.

        Args:
            kinds: the interfaces of the credentials that the portal has checkers for.
        """
        return _checked_by(self.rows, tuple(kinds))

    def named(self, names: Collection[str]) -> list[str]:
        """Return the names that are names of mechanisms, in the order of the table."""
        return [row.name for row in self.rows if row.name in names]


@functools.lru_cache(64)
def _checked_by(rows: tuple[AnyMechanism, ...], kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(
        row
        for row in rows
        if any(asked.isOrExtends(kind) for asked in row.checked_as for kind in kinds)
    )
