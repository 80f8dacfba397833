"""The methods of the attacked servers: the same on this library and on Twisted."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["Methods", "State"]


class Methods:
    """An application's own methods, and the methods that the attacks call."""

    def __init__(self) -> None:
        self.table: dict[Any, Any] = {}
        self.gathered: set[Any] = set()
        self.kept: Any = None

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept = value

    def remote_pair(self, first: Any, second: Any) -> None:
        """Take two values."""

    def remote_whole(self, value: Any) -> int:
        """Make an int of a number."""
        return int(value)

    def remote_kind(self, value: Any) -> bytes:
        """Return the type of the elements of a list."""
        return type(value[0]).__name__.encode("ascii")

    def remote_book(self) -> bytes:
        """Return half a megabyte."""
        return bytes(500_000)

    def remote_fall(self) -> None:
        """Raise."""
        raise ValueError("the password of the database is secret")

    def remote_lookup(self, key: Any) -> Any:
        """Look a missing key up in a table."""
        return self.table[key]

    def remote_refuse(self, value: Any) -> None:
        """Raise an error with the argument."""
        raise ValueError(value)

    async def remote_refuse_later(self, value: Any) -> None:
        """Raise an error with the argument, from a task."""
        raise ValueError(value)

    def remote_gather(self, references: Any) -> int:
        """Put the arguments into a set."""
        for reference in references:
            self.gathered.add(reference)
        return len(self.gathered)

    def remote_rate(self, value: Any) -> float:
        """Return the rate of a copy."""
        return float(value.RATE)


class State:
    """The attributes of a peer's copy: a field, and a constant of the class."""

    x: int
    RATE: ClassVar[float] = 1.0
