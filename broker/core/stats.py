"""Counters of one connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from jelly.errors import LimitExceeded
from jelly.limits import Limits

__all__ = ["Stats"]

_NAMES = frozenset({"max_refs", *(limit.name for limit in fields(Limits))})


@dataclass(slots=True)
class Stats:
    """What a connection has done.

    Attributes:
        calls_made, calls_received: calls of ours, and of the peer's.
        bytes_sent, bytes_received: of the protocol, before TLS.
        limits: how often each limit refused something.
    """

    calls_made: int = 0
    calls_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    limits: Counter[str] = field(default_factory=Counter)

    def count_limit(self, error: object) -> None:
        """Count a limit that refused something; other errors than LimitExceeded count nothing."""
        if isinstance(error, LimitExceeded):
            # Its text ends with the name in parentheses: "(max_refs)", "(max_string 655360)".
            name = str(error).rpartition("(")[2].split(" ")[0].rstrip(")")
            # An error may also have come from another peer, with any text.
            if name in _NAMES:
                self.limits[name] += 1
