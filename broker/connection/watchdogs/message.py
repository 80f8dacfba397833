"""Limits the time from the first byte of a message to its last."""

from __future__ import annotations

from broker.connection.watchdogs.setup import Watched
from broker.core.policy import Policy
from broker.core.session import Session
from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["MessageTimeout"]

# Seconds between two checks of a late message that comes fast enough, or while reading is paused.
_PERIOD = 1.0


class MessageTimeout:
    """Ends the connection of a peer that does not complete a message.

    A message may take ``partial_timeout`` seconds. A large one may take longer if it comes at
    ``partial_rate`` bytes a second. Time in which nothing is read does not count, nor does time in
    which whole messages wait to be decoded.

    Args:
        scheduler: the clock.
        policy: the time and the rate.
        session: the session that decodes the messages.
        connection: is ended with PBConnectionLost, which has the attributes of the limit.
    """

    __slots__ = (
        "_begun_at",
        "_connection",
        "_policy",
        "_scheduler",
        "_session",
        "_since",
        "_timer",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        policy: Policy,
        session: Session,
        connection: Watched,
    ):
        self._scheduler = scheduler
        self._policy = policy
        self._session = session
        self._connection = connection
        self._timer: Cancellable | None = None
        self._since = 0.0
        self._begun_at = -1

    def watch(self) -> None:
        """Start the timer: bytes have come, and the last message is not complete."""
        begun_at = self._session.stats.bytes_received - self._session.inbox.pending
        if begun_at != self._begun_at:
            self._begun_at, self._since = begun_at, self._scheduler.now()
        if self._timer is None:
            self._timer = self._scheduler.timeout(self._policy.partial_timeout, self._look)

    def allow(self, seconds: float) -> None:
        """Do not count ``seconds``, in which nothing was read."""
        self._since += seconds

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        session, policy, now = self._session, self._policy, self._scheduler.now()
        pending = session.inbox.pending
        if not pending:
            return
        if not self._connection.is_reading:
            self._timer = self._scheduler.timeout(_PERIOD, self._look)
            return
        if session.inbox.has_more:
            self._since = now
            self._timer = self._scheduler.timeout(_PERIOD, self._look)
            return
        took, most = now - self._since, policy.partial_timeout
        if took >= most and pending < took * policy.partial_rate:
            self._connection.abort(limit_error(PBConnectionLost, "partial_timeout", most, took))
            return
        self._timer = self._scheduler.timeout(max(most - took, _PERIOD), self._look)
