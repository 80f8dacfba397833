"""Counters of one connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from jelly.errors import LimitExceeded

__all__ = ["Stats"]


class Stats(Struct):
    """Counters of one connection.

    Attributes:
        calls_made, calls_received: outgoing and incoming calls.
        sends_dropped: outgoing one-way calls that were not sent: the connection had ended, the peer
            drains, or an argument cannot be sent.
        sends_refused: incoming one-way calls that were not run: this side drains, there is no such
            object or method, or an argument is not allowed.
        bytes_sent, bytes_received: bytes of the protocol, without TLS.
        total: the counts of `limits` for a whole server, or None.
        on_limit: called with the name of a limit that refused something, or None.
    """

    calls_made: int = 0
    calls_received: int = 0
    sends_dropped: int = 0
    sends_refused: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    _limits: Counter[str] | None = None
    total: Counter[str] | None = None
    on_limit: Callable[[str], None] | None = None

    @property
    def limits(self) -> Counter[str]:
        """How often each limit refused something, by the name of its setting."""
        if self._limits is None:
            self._limits = Counter()
        return self._limits

    def count(self, limit: str) -> None:
        """Count a refusal by a limit, given the name of its setting."""
        self.limits[limit] += 1
        if self.total is not None:
            self.total[limit] += 1
        if self.on_limit is not None:
            self.on_limit(limit)

    def count_limit(self, error: object) -> None:
        """Count the limit of a LimitExceeded; other errors are not counted.

        An error that was made from a text alone has no limit and is not counted. Nor is a subclass,
        because a peer may have set its attributes.
        """
        if type(error) is LimitExceeded and error.limit:
            self.count(error.limit)
