"""The sessions of all front ends of a portal: ends those of a user who may not be logged in.

Theory of operation. A session is a connection, or another visit, on which users have logged in. A
checker may answer with an `Identity` that names itself as ``checker``. Each second all these users
are looked up at once, by ``checker.refused(names)``, as long as there are such sessions. A checker
that has not answered is not asked again. A session whose user is refused is ended. So a user who is
disabled is gone from every front end within the same time, and a failing store of users ends no
session.
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
        # The checkers that have not answered yet, by their ids.
        self._asked: dict[int, RefusesUsers] = {}

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
        if checker is None:
            return
        if not _have_one_loop(scheduler, self._scheduler):
            # A program may use a portal in several loops, one after the other.
            self._stop()
            self._asked = {}
            self._scheduler = scheduler
        if self._timer is None:
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
        """Ask each checker for its users, unless it has still to answer."""
        self._timer = None
        # By the ids: a checker need not have a hash.
        names: dict[int, tuple[RefusesUsers, set[str]]] = {}
        for session in self._open:
            for name, checker in session.users.items():
                if checker is not None:
                    names.setdefault(id(checker), (checker, set()))[1].add(name)
        if not names or self._scheduler is None:
            return
        self._timer = self._scheduler.timeout(RECHECK, self._look)
        for key, (checker, asked) in names.items():
            if key not in self._asked:
                self._asked[key] = checker
                answer = maybeDeferred(checker.refused, asked)
                answer.addBoth(self._answered, self._asked, key)
                answer.addCallback(self._refused, checker).addErrback(_not_looked_up)

    def _answered(self, answer: object, asked: dict[int, RefusesUsers], key: int) -> object:
        asked.pop(key, None)
        return answer

    def _refused(self, names: Collection[str], checker: RefusesUsers) -> None:
        refused = frozenset(names)
        sessions = [
            session
            for session in self._open
            for name, known in session.users.items()
            if known is checker and name in refused
        ]
        self._end(list(dict.fromkeys(sessions)), _REFUSED)

    def _end(self, sessions: list[Session], text: str) -> None:
        for session in sessions:
            self.remove(session)
            session.end("kicked", text)


def _have_one_loop(one: Scheduler, other: Scheduler | None) -> bool:
    # Each connection of Twisted has a scheduler of its own; there is one reactor.
    return type(one) is type(other) and other is not None and one.loop is other.loop


def _not_looked_up(failure: Failure) -> None:
    """Keep all sessions: a store of users that does not answer has no influence on them."""
    logger.debug("the users who are logged in were not checked", exc_info=failure.value)
