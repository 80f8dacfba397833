"""A broadcast: a one-way call to many objects, whose values are encoded only once."""

from __future__ import annotations

from collections.abc import Callable, Hashable

__all__ = ["Broadcast"]

# Bytes of the longest message that is kept: a broadcast may wait, with many others.
_SHORT = 512


class Broadcast:
    """A one-way call of one method of many objects, on many connections.

    Args:
        name, args, kw: of the call.
        is_data: whether the values are data alone: no hook makes their expressions, so these are
            the same on all connections of a dialect.

    Attributes:
        name, args, kw, is_data: the arguments.
        has_failed: whether an error that prevents the sending was reported.
        last: the message that was written last, if it is short, and `last_key`, what it was written
            for. The next receiver often has the same id: equal clients give their objects equal
            ids.
    """

    __slots__ = ("_tails", "args", "has_failed", "is_data", "kw", "last", "last_key", "name")

    def __init__(
        self, name: str, args: tuple[object, ...], kw: dict[str, object], is_data: bool = False
    ):
        self.name = name
        self.args = args
        self.kw = kw
        self.is_data = is_data
        self.has_failed = False
        self.last = b""
        self.last_key: Hashable = None
        self._tails: dict[Hashable, bytes | None] = {}

    def tail(self, dialect: Hashable, make: Callable[[Broadcast], bytes | None]) -> bytes | None:
        """Return the bytes after the object's id in a message of this dialect; made once.

        None if the values need a jellier, whose result differs for each connection.
        """
        try:
            return self._tails[dialect]
        except KeyError:
            tail = self._tails[dialect] = make(self)
            return tail

    def keep(self, key: Hashable, message: bytes) -> None:
        """Keep a message for the next receiver, unless it is long: to make it takes little then."""
        if len(message) <= _SHORT:
            self.last, self.last_key = message, key
