"""The sessions of all front ends of a portal: ends those of a user who may not be logged in.

Theory of operation. A session is a connection, or another visit, on which users have logged in. A
checker may answer with an `Identity` that names itself as ``checker``. Each second all these users
are looked up at once, by ``checker.refused(names)``, as long as there are such sessions. A session
whose user is refused is ended. So a user who is disabled is gone from every front end within the
same time, and a failing store of users ends no session.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Final, Protocol

from broker.defer import maybeDeferred
from broker.failure import Failure
from broker.net.scheduler import Cancellable, Scheduler
from cred.identity import RefusesUsers

__all__ = ["RECHECK", "Session", "Sessions"]

logger = logging.getLogger("broker.login")

RECHECK: Final = 1.0
"""Seconds from one look at the users who are logged in to the next."""

_REFUSED: Final = "this user may no longer log in"


class Session(Protocol):
    """A connection or another visit, with the users who have logged in on it."""

    @property
    def users(self) -> Mapping[str, RefusesUsers | None]:
        """Their names, each with the checker that can refuse the user later, or None."""

    def end(self, code: str, text: str) -> None:
        """End it.

        Args:
            code: the code of the goodbye.
            text: the reason, for the peer.
        """


class Sessions:
    """The sessions of all front ends of a portal."""

    def __init__(self) -> None:
        self._open: dict[Session, None] = {}
        self._scheduler: Scheduler | None = None
        self._timer: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, session: Session, checker: RefusesUsers | None, scheduler: Scheduler) -> None:
        """Add a session, or one more user of it; call `remove` when the session has ended.

        Args:
            session: has the user already.
            checker: can refuse the user later, or None.
            scheduler: the clock of the session.
        """
        self._open[session] = None
        # A program may use a portal in several loops, one after the other.
        if checker is not None and (self._timer is None or scheduler is not self._scheduler):
            self._stop()
            self._scheduler = scheduler
            self._timer = scheduler.timeout(RECHECK, self._look)

    def remove(self, session: Session) -> None:
        """Forget a session; one that is not known is ignored."""
        if self._open.pop(session, self) is None and not self._open:
            self._stop()

    def end(self, user: str, text: str) -> int:
        """End all sessions on which a user has logged in, also those of several users.

        Args:
            user: the avatar id.
            text: the reason, for the peers.

        Returns:
            The number of sessions.
        """
        found = [session for session in self._open if user in session.users]
        self._end(found, text)
        return len(found)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        """Ask each checker for its users; look again when all have answered."""
        self._timer = None
        names: dict[RefusesUsers, set[str]] = {}
        for session in self._open:
            for name, checker in session.users.items():
                if checker is not None:
                    names.setdefault(checker, set()).add(name)
        if not names or self._scheduler is None:
            return
        self._timer = self._scheduler.timeout(RECHECK, self._look)
        for checker, asked in names.items():
            answer = maybeDeferred(checker.refused, asked)
            answer.addCallback(self._refused, checker).addErrback(_not_asked)

    def _refused(self, names: Collection[str], checker: RefusesUsers) -> None:
        if names:
            refused = [
                session
                for session in self._open
                if any(session.users.get(name) is checker for name in names)
            ]
            self._end(refused, _REFUSED)

    def _end(self, sessions: list[Session], text: str) -> None:
        for session in sessions:
            self.remove(session)
            session.end("kicked", text)


def _not_asked(failure: Failure) -> None:
    """Keep all sessions: a store of users that does not answer has no influence on them."""
    logger.debug("the users who are logged in were not checked", exc_info=failure.value)
