"""The history of a run: what happened, in order, for the rules to judge."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Event", "History"]


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        when: seconds on the simulated clock.
        kind: one word; what each means stands at ``rules.RULES`` and where it is recorded.
        party: at which end of which connection, such as ``"c0"`` for the client's end of the first
            and ``"s0"`` for the server's.
        call: the number of the call that it is about, or 0.
        detail: what else there is to say; plain values, the same in each run of a seed.
    """

    when: float
    kind: str
    party: str
    call: int = 0
    detail: Any = None

    def __str__(self) -> str:
        number = f" #{self.call}" if self.call else ""
        detail = "" if self.detail is None else f" {self.detail!r:.120}"
        return f"{self.when:10.4f} {self.party:4} {self.kind}{number}{detail}"


class History:
    """What has happened so far.

    Args:
        clock: returns the time.

    Attributes:
        events: in order.
    """

    def __init__(self, clock: Callable[[], float] = lambda: 0.0):
        self.events: list[Event] = []
        self._clock = clock
        self._last_call = 0

    def record(self, kind: str, party: str, call: int = 0, detail: Any = None) -> None:
        """Write something down."""
        self.events.append(Event(self._clock(), kind, party, call, detail))

    def invoke(self, party: str, name: str, *, one_way: bool = False) -> int:
        """Write down that a call is about to be made, and return its number."""
        self._last_call += 1
        self.record("send" if one_way else "invoke", party, self._last_call, name)
        return self._last_call

    def digest(self) -> str:
        """Return a hash of all that happened: the same for two runs that went the same way."""
        return hashlib.sha256(repr(self.events).encode()).hexdigest()[:16]

    def tail(self, most: int = 25) -> list[str]:
        """Return the end of the history as lines, without the bytes."""
        told = [event for event in self.events if event.kind not in ("wire", "read")]
        return [str(event) for event in told[-most:]]
