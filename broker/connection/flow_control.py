"""The flow: how much is taken from a peer that does not take what it is sent.

While too much is unsent, the peer's calls are held; while too much waits to be handled, or the
budget of the server is used up, no more is read. Where the calls that wait fill their cap, they are
made all the same, for as much as the answers may take: else two ends with more to say than the caps
hold would wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.connection.budget import Share
from broker.connection.reading import Reading
from broker.connection.watchdogs.write_stall import WriteStallWatchdog
from broker.core.policy import Policy
from broker.core.session import Session

__all__ = ["FlowControl"]


class FlowControl:
    """Flow control of one connection, both ways.

    Args:
        session: whose calls are held.
        policy: the marks.
        reading: reads what the peer sends, or does not.
        unsent: returns the bytes that wait to be taken.
        write_stall: watches the peer while much waits.
        resume: has messages handled soon.
        share: of the budget of the server; None at a client.

    Attributes:
        reading: as given.
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
        self._unsent = unsent
        self._write_stall = write_stall
        self._resume = resume
        self._is_impeded = False
        self._share = share
        if share is not None:
            share.on_change = self._read

    def regulate(self) -> int:
        """Hold the peer's calls or let them go on, stop reading or go on, as the marks say.

        Returns:
            The room: how many bytes may be written before there can be too many unsent. It is
            negative while calls are held, nothing is read, or much is unsent; then this is called
            after each write and each turn, else when the room is used up or the session wants no
            more data.
        """
        session, policy = self._session, self._policy
        unsent, was_impeded = self._unsent(), self._is_impeded
        is_full = unsent > policy.high_water
        if not was_impeded or not is_full:
            session.forget_answered()
        if is_full:
            self._write_stall.watch()
        wants_data = session.inbox.wants_data
        is_held = is_full and (wants_data or session.answered > policy.max_unsent)
        session.inbox.holds_calls = is_held
        if is_full and not is_held:
            self._resume()
        self._is_impeded = is_full or not wants_data
        if not wants_data and self.reading.is_on:
            session.stats.count("max_backlog")
        self._read()
        self.weigh()
        return -1 if self._is_impeded else policy.high_water - unsent

    def weigh(self) -> None:
        """Report to the budget of the server what is held."""
        if self._share is not None:
            self._share.report()

    def stop(self) -> None:
        """Watch no more: the connection is gone."""
        self._write_stall.stop()

    def end(self) -> None:
        """Hold nothing any more."""
        if self._share is not None:
            self._share.end()

    def _read(self) -> None:
        is_held_back = self._share is not None and self._share.is_held_back
        self.reading.turn(self._session.inbox.wants_data and not is_held_back)
