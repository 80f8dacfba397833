"""Counters of one connection."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field
from msgspec.structs import fields

from jelly.errors import LimitExceeded
from jelly.limits import Limits

__all__ = ["Stats"]

_NAMES = frozenset({"max_refs", *(limit.name for limit in fields(Limits))})


class Stats(Struct):
    """What a connection has done.

    Attributes:
        calls_made, calls_received: calls of ours, and of the peer's.
        sends_dropped: calls of ours without an answer that were not sent, since the connection had
            ended or the peer drains, or since they cannot be sent.
        sends_refused: calls of the peer's without an answer that were not run: they came while this
            end drains, name no object or method, or bring what may not come in.
        bytes_sent, bytes_received: of the protocol, before TLS.
        limits: how often each limit refused something, by the name of its setting.
        total: counts the same for a whole server; None where there is none.
    """

    calls_made: int = 0
    calls_received: int = 0
    sends_dropped: int = 0
    sends_refused: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    limits: Counter[str] = field(default_factory=Counter)
    total: Counter[str] | None = None

    def count(self, limit: str) -> None:
        """Count that a limit, by the name of its setting, refused something."""
        self.limits[limit] += 1
        if self.total is not None:
            self.total[limit] += 1

    def count_limit(self, error: object) -> None:
        """Count a limit that refused something; other errors than LimitExceeded count nothing."""
        if isinstance(error, LimitExceeded):
            # Its text ends with the name in parentheses: "(max_refs)", "(max_string 655360)".
            name = str(error).rpartition("(")[2].split(" ")[0].rstrip(")")
            # An error may also have come from another peer, with any text.
            if name in _NAMES:
                self.count(name)
