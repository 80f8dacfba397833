"""Logins of a front end in threads, such as a web page by WSGI, beside a PB server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from broker.blocking.loop import Background, ClosedByBlock, background
from broker.login import visits
from broker.login.attempts import FrontEndLogin
from broker.login.portal_logins import PortalLogins

__all__ = ["Login", "Visit", "arrive"]


class Login:
    """A login of a front end, for threads.

    Attributes:
        login: the login, for code in the loop.
    """

    __slots__ = ("_background", "login")

    def __init__(self, login: FrontEndLogin, own: Background):
        self.login = login
        self._background = own

    def __repr__(self) -> str:
        return f"<blocking.{repr(self.login).removeprefix('<')}"

    @property
    def avatar(self) -> Any:
        """The object that the realm has made for this user, in the loop's thread."""
        return self.login.avatar

    @property
    def interface(self) -> object:
        """The one of the requested interfaces that the avatar provides."""
        return self.login.interface

    @property
    def avatar_id(self) -> str | None:
        """The user, as text; None for a guest."""
        return self.login.avatar_id

    @property
    def groups(self) -> frozenset[str]:
        """The groups that this user is in."""
        return self.login.groups

    @property
    def expires(self) -> float | None:
        """When the visit ends, in seconds since 1970; None for never."""
        return self.login.expires

    @property
    def mechanism(self) -> str:
        """As given to `Visit.login`."""
        return self.login.mechanism

    @property
    def is_active(self) -> bool:
        """Whether it has not been logged out, neither here nor by the end of the visit."""
        return self.login.is_active

    def logout(self) -> None:
        """Call the logout of the avatar, in the loop's thread; a second call does nothing.

        Raises:
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("logout", "login.logout")
        own.wait(partial(_called, self.login.logout))


class Visit(ClosedByBlock):
    """One connection or request of a front end, for threads.

    It is a context manager; the end of the block closes it, and logs out. A visit that is ended
    meanwhile does not interrupt the thread: see `is_ended`.

    Attributes:
        visit: the visit, for code in the loop.
    """

    def __init__(self, visit: visits.Visit, own: Background):
        self.visit = visit
        self._background = own

    def __repr__(self) -> str:
        return f"<blocking.{repr(self.visit).removeprefix('<')}"

    @property
    def is_ended(self) -> bool:
        """Whether it was ended or closed: nothing more is to be done for its user."""
        return self.visit.is_ended

    @property
    def reason(self) -> Exception | None:
        """Why it was ended; None while it goes on, and after `close`."""
        return self.visit.reason

    def login(
        self, credentials: object, mind: object, *interfaces: object, mechanism: str
    ) -> Login:
        """Log in, and wait for it; the realm runs in the loop's thread.

        Arguments and errors are those of `broker.login.visits.Visit.login`.

        Raises:
            CallTimeout: the time of ``blocking.timeout`` is over.
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("login", "visit.login")
        log_in = partial(self.visit.login, credentials, mind, *interfaces, mechanism=mechanism)
        return Login(own.wait(log_in), own)

    def close(self) -> None:
        """End the visit, and log out all its logins. May be called twice.

        Raises:
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("close", "visit.close")
        if not self.is_ended:
            own.wait(partial(_called, self.visit.close))


def arrive(logins: PortalLogins, peer: object, *, is_private: bool | None = None) -> Visit:
    """Begin a visit: a connection of a front end in threads, or a request of it.

    Arguments and errors are those of `broker.PortalLogins.arrive`. Use the logins of one
    PortalLogins in one loop only: with ``blocking.arrive`` also serve it by ``blocking.serve``.

    Returns:
        The visit, to be used in ``with``, or to be closed. Those that go on when the interpreter
        exits are closed then.

    Raises:
        RuntimeError: called in the loop's thread, or in a forked child process.
    """
    own = background("arrive", "logins.arrive")

    async def begin() -> visits.Visit:
        visit = logins.arrive(peer, is_private=is_private)
        own.opened[visit] = lambda seconds: _called(visit.close)
        visit.ended.addCallback(lambda reason: own.opened.pop(visit, None))
        return visit

    return Visit(own.wait(begin), own)


async def _called(function: Callable[[], None]) -> None:
    function()
