"""Flow control: holds calls or stops reading under pressure.

While too many bytes are unsent, the calls of the peer are held. While too many received bytes wait
to be handled, or the budget of the server is used up, nothing more is read. If held calls fill the
receive buffer, they are run nevertheless, until ``max_unsent`` bytes of answers wait. Otherwise two
sides that both send more than the buffers hold would wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.connection.budget import Share
from broker.connection.reading import Reading
from broker.connection.tracers import tell_slow
from broker.connection.watchdogs.write_stall import WriteStallWatchdog
from broker.core.policy import Policy
from broker.core.session import Session

__all__ = ["FlowControl"]


class FlowControl:
    """Flow control of one connection, both ways.

    Args:
        session: the session, whose calls are held.
        policy: the limits.
        reading: pauses and resumes reading.
        unsent: returns the number of unsent bytes.
        write_stall: watches the peer while many bytes are unsent.
        resume: requests a turn for received messages.
        share: this connection's share of the budget; None at a client.

    Attributes:
        reading: pauses and resumes reading.
        slow_since: when many bytes became unsent, by the clock; None while few are.
    """

    __slots__ = (
        "_is_impeded",
        "_policy",
        "_resume",
        "_session",
        "_share",
        "_unsent",
        "_write_stall",
        "reading",
        "slow_since",
    )

    def __init__(
        self,
        session: Session,
        policy: Policy,
        reading: Reading,
        unsent: Callable[[], int],
        write_stall: WriteStallWatchdog,
        resume: Callable[[], object],
        share: Share | None = None,
    ):
        self._session = session
        self._policy = policy
        self.reading = reading
        self.slow_since: float | None = None
        self._unsent = unsent
        self._write_stall = write_stall
        self._resume = resume
        self._is_impeded = False
        self._share = share
        if share is not None:
            share.on_change = self._read

    def regulate(self) -> int:
        """Hold or release the peer's calls, and stop or resume reading, by the limits.

        Returns:
            The number of bytes that may be written before the next check. It is negative while
            calls are held, nothing is read, or many bytes are unsent: then check again after every
            write and turn. Else check when so many bytes are written, or the session wants no data.
        """
        session, policy = self._session, self._policy
        unsent, was_impeded = self._unsent(), self._is_impeded
        session.inbox.count()
        is_full = unsent > policy.high_water
        if not was_impeded or not is_full:
            session.incoming.answers.size = 0
        if is_full:
            self._write_stall.watch()
            if self.slow_since is None:
                self.slow_since = self.reading.now()
                tell_slow(session, True)
        elif self.slow_since is not None:
            self.slow_since = None
            tell_slow(session, False)
        wants_data = session.inbox.wants_data
        is_held = is_full and (wants_data or session.incoming.answers.size > policy.max_unsent)
        session.inbox.hold_calls(is_held)
        if is_full and not is_held:
            self._resume()
        self._is_impeded = is_full or not wants_data
        if not wants_data and self.reading.is_on:
            session.stats.count("max_backlog")
        self._read()
        self.weigh()
        return -1 if self._is_impeded else policy.high_water - unsent

    def weigh(self) -> None:
        """Report the size of the buffers to the server's budget."""
        if self._share is not None:
            self._share.report()

    def stop(self) -> None:
        """Stop the watchdog: the connection has ended."""
        self._write_stall.stop()

    def end(self) -> None:
        """Leave the budget: the buffers are empty."""
        if self._share is not None:
            self._share.end()

    def _read(self) -> None:
        is_held_back = self._share is not None and self._share.is_held_back
        self.reading.turn(self._session.inbox.wants_data and not is_held_back)
