"""What the servers that are attacked offer: the same methods on ours and on Twisted's."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["Methods", "State"]


class Methods:
    """Beside an application's own methods, those that attacks are aimed at."""

    def __init__(self) -> None:
        self.table: dict[Any, Any] = {}
        self.gathered: set[Any] = set()
        self.kept: Any = None

    def remote_echo(self, value: Any) -> Any:
        """Give it back."""
        return value

    def remote_keep(self, value: Any) -> None:
        """Keep it."""
        self.kept = value

    def remote_pair(self, first: Any, second: Any) -> None:
        """Take two."""

    def remote_whole(self, value: Any) -> int:
        """Make an int of a number."""
        return int(value)

    def remote_kind(self, value: Any) -> bytes:
        """Say what is in the list that was given."""
        return type(value[0]).__name__.encode("ascii")

    def remote_book(self) -> bytes:
        """Give half a megabyte."""
        return bytes(500_000)

    def remote_fall(self) -> None:
        """Raise."""
        raise ValueError("the password of the database is secret")

    def remote_lookup(self, key: Any) -> Any:
        """Look into a table that does not have it."""
        return self.table[key]

    def remote_refuse(self, value: Any) -> None:
        """Raise an error with what was given."""
        raise ValueError(value)

    async def remote_refuse_later(self, value: Any) -> None:
        """Raise an error with what was given, from a task."""
        raise ValueError(value)

    def remote_gather(self, references: Any) -> int:
        """Put what was given into a set."""
        for reference in references:
            self.gathered.add(reference)
        return len(self.gathered)

    def remote_rate(self, value: Any) -> float:
        """Say at which rate a copy reckons."""
        return float(value.RATE)


class State:
    """What a copy of a peer's has: a field, and a constant of the class."""

    x: int
    RATE: ClassVar[float] = 1.0
