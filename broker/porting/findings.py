"""What is found in a program: a line of it, and what becomes of that."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["Finding", "Kind"]


class Kind(enum.Enum):
    """What becomes of a line; the value is the word of the report."""

    MOVES = "moves"
    STAYS = "stays"
    NO_HOME = "no home"
    LOOK = "look"
    UNREAD = "unread"

    @property
    def needs_a_hand(self) -> bool:
        """Whether a person has work to do."""
        return self in (Kind.NO_HOME, Kind.LOOK, Kind.UNREAD)


class Finding(NamedTuple):
    """One line of a report.

    Attributes:
        path: the file.
        line: where in it, from 1; 0 stands for the whole file.
        kind: what becomes of it.
        text: in words, one line.
    """

    path: str
    line: int
    kind: Kind
    text: str
