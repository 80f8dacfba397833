"""The pings of one connection, and the time that each takes to be answered."""

from __future__ import annotations

from collections.abc import Callable

from broker.core.wire.messages import Ping
from broker.defer import Deferred

__all__ = ["Pings"]


class Pings:
    """Pings that were sent, until they are answered.

    Args:
        now: the clock, in seconds.
        say: sends a message at once.

    Attributes:
        round_trip: seconds that the last answered ping took; None before.
        asked_at: when the last ping was sent, by the clock; None before.
    """

    __slots__ = ("_asked", "_last", "_now", "_say", "asked_at", "round_trip")

    def __init__(self, now: Callable[[], float], say: Callable[[Ping], object]):
        self._now = now
        self._say = say
        self._last = 0
        # The time of each ping, and who waits for the answer.
        self._asked: dict[int, tuple[float, Deferred[float] | None]] = {}
        self.round_trip: float | None = None
        self.asked_at: float | None = None

    def keep_alive(self) -> None:
        """Send a ping for whose answer no code waits."""
        self._send(0, None)

    def ask(self) -> Deferred[float]:
        """Send a ping; return a Deferred of the seconds until the answer."""
        self._last += 1
        waiting: Deferred[float] = Deferred()
        self._send(self._last, waiting)
        return waiting

    def answered(self, token: int) -> None:
        """Take an answer; without a ping of that number it is ignored."""
        began, waiting = self._asked.pop(token, (None, None))
        if began is None:
            return
        self.round_trip = self._now() - began
        if waiting is not None and not waiting.called:
            waiting.callback(self.round_trip)

    def end(self, error: Exception) -> None:
        """Fail the pings that were not answered: the connection has ended."""
        asked, self._asked = self._asked, {}
        for _, waiting in asked.values():
            if waiting is not None and not waiting.called:
                waiting.errback(error)

    def _send(self, token: int, waiting: Deferred[float] | None) -> None:
        self.asked_at = now = self._now()
        self._asked[token] = now, waiting
        self._say(Ping(token))
