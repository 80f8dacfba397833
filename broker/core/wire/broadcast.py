"""A notice: a one-way call that goes to many objects, whose values are encoded once for all."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["Broadcast"]


class Broadcast:
    """A call of one method of many objects, on many connections, that wants no answer.

    Attributes:
        name, args, kw: of the call.
        has_failed: whether it was reported that it cannot be sent.
    """

    __slots__ = ("_tails", "args", "has_failed", "kw", "name")

    def __init__(self, name: str, args: tuple[Any, ...], kw: dict[str, Any]):
        self.name = name
        self.args = args
        self.kw = kw
        self.has_failed = False
        self._tails: dict[Hashable, bytes | None] = {}

    def tail(self, dialect: Hashable, make: Callable[[], bytes | None]) -> bytes | None:
        """Return what stands behind the object's id in a message of this dialect; made once.

        It is None where the values need a jellier, which makes something else for each connection.
        """
        if dialect not in self._tails:
            self._tails[dialect] = make()
        return self._tails[dialect]
