"""The findings in a program: a line of it, and what happens to that line."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Finding", "Kind"]


class Kind(enum.Enum):
    """What happens to a line; the value is the word in the report."""

    MOVES = "moves"
    STAYS = "stays"
    ABSENT = "no home"
    LOOK = "look"
    UNREAD = "unread"

    @property
    def needs_a_hand(self) -> bool:
        """Whether a person has work to do."""
        return self in (Kind.ABSENT, Kind.LOOK, Kind.UNREAD)


class Finding(NamedTuple):
    """One line of a report.

    Attributes:
        path: the file.
        line: the line number, from 1; 0 means the whole file.
        kind: what happens to the line.
        text: the explanation, in one line.
    """

    path: str
    line: int
    kind: Kind
    text: str
