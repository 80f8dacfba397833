"""Keepalive: detects by pings that a peer is gone.

Theory of operation. A silent peer is sent a ping, and any received byte counts as an answer. Time
in which this side does not read does not count, since the peer may have answered. A peer that still
takes bytes sent before the ping is not gone either. While this side does not read, or has many
messages to handle, the pings of the peer wait. So this side then sends pings from time to time,
which tell the peer that it is alive.
"""

from __future__ import annotations

from typing import Protocol

from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Scheduler

__all__ = ["Keepalive", "Watched"]

# Seconds between two checks while nothing is read.
_PERIOD = 1.0


class Watched(Protocol):
    """What Keepalive needs of a connection: implemented by ``pump.Pump``."""

    @property
    def is_reading(self) -> bool:
        """Whether reading is on."""

    @property
    def is_behind(self) -> bool:
        """Whether received messages wait to be handled."""

    @property
    def taken(self) -> int:
        """Bytes that the peer has taken, while more are unsent; -1 if none are."""


class KeptAlive(Protocol):
    """The connection, as it is kept alive or ended."""

    def keep_alive(self) -> None:
        """Ping the peer."""

    def abort(self, error: Exception) -> None:
        """End the connection."""


class Counted(Protocol):
    """What counts the pings of the peer."""

    def forget_pings(self) -> None:
        """Reset the count of pings to 0."""


class Keepalive:
    """Pings a silent peer, and ends the connection if it stays silent.

    Args:
        scheduler: the clock.
        silence: seconds without a byte until the peer is pinged.
        answer_time: seconds that the peer then has for an answer.
        connection: sends a ping, and is ended with PBConnectionLost, which has the attributes of
            the limit.
        watched: tells what the peer does.
        counted: resets counters, at intervals of ``silence`` to 2 × ``silence`` seconds.

    Attributes:
        last_heard: the time of the last received byte, by :attr:`now`; set by the Broker.
        now: the clock.
    """

    __slots__ = (
        "_answer_time",
        "_connection",
        "_counted",
        "_forgot",
        "_last_asked",
        "_last_told",
        "_scheduler",
        "_silence",
        "_taken",
        "_timer",
        "_watched",
        "last_heard",
        "now",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        silence: float,
        answer_time: float,
        connection: KeptAlive,
        watched: Watched,
        counted: Counted,
    ):
        self._scheduler = scheduler
        self._silence = silence
        self._answer_time = answer_time
        self._connection = connection
        self._counted = counted
        self.now = scheduler.now
        self._watched = watched
        self._taken = -1
        self.last_heard = self._last_asked = self._last_told = self._forgot = self.now()
        self._timer = scheduler.timeout(silence, self)

    def stop(self) -> None:
        """Stop the checks."""
        self._timer.cancel()

    def allow(self, seconds: float) -> None:
        """Nothing was read for so long: this does not count as silence."""
        self.last_heard += seconds

    def __call__(self) -> None:
        """Look after the peer: the timer calls this, and so needs no method object."""
        now, watched = self.now(), self._watched
        if not watched.is_reading:
            self._tell(now)
            self._timer = self._scheduler.timeout(min(self._silence, _PERIOD), self)
            return
        before, self._taken = self._taken, watched.taken
        if 0 <= before < self._taken:
            # Much was unsent at both looks, and the peer has taken some of it.
            self.last_heard = now
        silent = now - self.last_heard
        whole = self._silence + self._answer_time
        if silent >= whole:
            self._connection.abort(
                limit_error(PBConnectionLost, "ping_timeout", self._answer_time, whole)
            )
            return
        if now - self._forgot >= self._silence:
            self._forgot = now
            self._counted.forget_pings()
        has_asked = self._last_asked > self.last_heard
        if silent >= self._silence and not has_asked:
            has_asked = True
            self._last_asked = self._last_told = now
            self._connection.keep_alive()
        elif watched.is_behind:
            self._tell(now)
        due = whole if has_asked else self._silence
        self._timer = self._scheduler.timeout(due - silent, self)

    def _tell(self, now: float) -> None:
        """Let the peer hear something, unless it has just heard it."""
        if now - self._last_told >= self._silence:
            self._last_told = now
            self._connection.keep_alive()
