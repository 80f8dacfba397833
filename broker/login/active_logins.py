"""The logins of one connection: who is logged in, until when, and each logout once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct
from zope.interface import classImplements

from broker.connection import log
from broker.connection.broker import Broker
from broker.connection.peer import Peer, peer_of
from broker.core.principal import Principal
from broker.defer import maybeDeferred
from broker.errors import LoginExpired
from broker.login.sessions import Sessions
from broker.net.scheduler import Cancellable
from cred.checkers import ANONYMOUS
from cred.identity import Identity, RefusesUsers
from jelly.interfaces import IJellyable

__all__ = ["EXPIRED", "AcceptedUser", "ActiveLogins"]

# Declared here, since cred does not import jelly, and jelly does not know cred.
classImplements(Identity, IJellyable)

EXPIRED: Final = "token expired; log in again"
_NOBODY: Final[Mapping[str, RefusesUsers | None]] = MappingProxyType({})


class AcceptedUser(Struct, frozen=True):
    """The user of a login, after a checker has accepted the credentials.

    Attributes:
        avatar_id: as text; None for a guest.
        mechanism: the name of the mechanism.
        groups: the groups that this user is in.
        expires: when the login ends, in seconds since 1970; None for never.
        checker: can refuse the user later, see `cred.identity.Identity`; or None.
    """

    avatar_id: str | None
    mechanism: str
    groups: frozenset[str] = frozenset()
    expires: float | None = None
    checker: RefusesUsers | None = None

    @classmethod
    def of(cls, avatar_id: object, mechanism: str) -> AcceptedUser:
        """Make one of the avatar id that a checker returned."""
        if isinstance(avatar_id, Identity):
            return cls(
                str(avatar_id), mechanism, avatar_id.groups, avatar_id.expires, avatar_id.checker
            )
        if avatar_id == ANONYMOUS:
            return cls(None, mechanism)
        if isinstance(avatar_id, bytes):
            return cls(avatar_id.decode("utf-8", "replace"), mechanism)
        return cls(str(avatar_id), mechanism)


class ActiveLogins:
    """The logins of one connection that have not been logged out.

    ``broker.peer`` is the peer of the last of them. The connection ends when the first of all its
    logins expires, even one that has been logged out: the objects that a login has sent outlive its
    avatar.

    Args:
        broker: the server's side of the connection.
        clock: returns the time, in seconds since 1970.
        sessions: the sessions of all front ends, of which this connection becomes one; None if it
            is not one of them.
    """

    __slots__ = (
        "_active",
        "_broker",
        "_clock",
        "_deadline",
        "_is_first",
        "_sessions",
        "_timer",
        "_unknown",
        "_users",
    )

    def __init__(
        self,
        broker: Broker,
        clock: Callable[[], float] = time.time,
        sessions: Sessions | None = None,
    ):
        self._sessions = sessions
        self._users: dict[str, RefusesUsers | None] | None = None
        self._broker = broker
        self._clock = clock
        self._unknown = broker.peer
        # A dict for its order.
        self._active: dict[ActiveLogin, None] = {}
        self._is_first = True
        self._deadline: float | None = None
        self._timer: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._active)

    @property
    def users(self) -> Mapping[str, RefusesUsers | None]:
        """The users of all logins, see `broker.login.sessions.Session`; also those logged out."""
        return _NOBODY if self._users is None else self._users

    def add(
        self, user: AcceptedUser, sent: Any, logout: Callable[[], object], principal: Principal
    ) -> Callable[[], None]:
        """Add a login; call its ``logout`` once, when the peer drops ``sent`` or disconnects.

        Args:
            user: the user.
            sent: the object that is sent to the peer as its avatar.
            logout: a function without arguments.
            principal: owns ``sent``; its peer gets the attributes of the user.

        Returns:
            A function that ends this login at once, for an avatar that cannot be sent.

        Raises:
            LoginExpired: the login has expired already; ``logout`` is called.
        """
        broker = self._broker
        expires = user.expires
        if expires is not None and expires <= self._clock():
            maybeDeferred(logout)
            raise LoginExpired(EXPIRED)
        if broker.disconnected:
            # The peer disconnected while the realm was making the avatar.
            maybeDeferred(logout)
            return _nothing
        peer = peer_of(principal)
        peer.avatar_id, peer.groups = user.avatar_id, user.groups
        peer.mechanism = user.mechanism
        login = ActiveLogin(self, peer, logout)
        self._own(principal)
        if self._sessions is not None and user.avatar_id is not None:
            self._join(self._sessions, user.avatar_id, user.checker)
        if expires is not None:
            self._end_at(expires)
        if hasattr(sent, "processUniqueID"):
            login.identity = sent.processUniqueID(), principal
            exports = broker.session.translator.exports
            exports.when_released(login.identity[0], login.end, principal)
        self._active[login] = None
        self._show()
        return login.end

    def _join(self, sessions: Sessions, name: str, checker: RefusesUsers | None) -> None:
        """Be one of the sessions, with this user too."""
        if self._users is None:
            self._users = {name: checker}
        # A login without a checker does not replace one that has been checked.
        elif self._users.get(name) is None:
            self._users[name] = checker
        sessions.add(self, checker, self._broker.port.scheduler)

    def _own(self, principal: Principal) -> None:
        """Let objects without an owner belong to the user, while there has been only one."""
        session = self._broker.session
        if not self._is_first:
            session.set_sole_principal(None)
            return
        self._is_first = False
        session.set_sole_principal(principal)
        # One notification for all logins, of which there may be many.
        self._broker.notifyOnDisconnect(self._lost)

    def _log_out(self, login: ActiveLogin) -> None:
        if login not in self._active:
            return
        del self._active[login]
        broker = self._broker
        if login.identity is not None:
            broker.session.translator.exports.never_sent(*login.identity)
        if not broker.disconnected:
            self._show()
        maybeDeferred(login.logout)

    def _lost(self) -> None:
        """Log out all users: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sessions is not None:
            self._sessions.remove(self)
        for login in list(self._active):
            login.end()

    def _show(self) -> None:
        last = next(reversed(self._active), None)
        self._broker.peer = self._unknown if last is None else last.peer

    def _end_at(self, expires: float) -> None:
        """End the connection at that time, unless an earlier end is set."""
        if self._deadline is not None and self._deadline <= expires:
            return
        self._deadline = expires
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._broker.port.scheduler.later(expires - self._clock(), self._expire)

    def _expire(self) -> None:
        self.end("expired", EXPIRED)

    def end(self, code: str, text: str) -> None:
        """Send what waits, then close the connection; run no further call of the peer.

        Args:
            code: the code of the goodbye.
            text: the reason, for the peer and the log.
        """
        broker = self._broker
        if self._sessions is not None:
            self._sessions.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        log.expired(broker, LoginExpired(text))
        broker.session.drain()
        broker.leave(code, text)
        port, seconds = broker.port, broker.policy.close_timeout
        # Otherwise pages that the peer has asked for would still be sent to their end.
        self._timer = port.scheduler.timeout(seconds, port.abortConnection)


class ActiveLogin(Struct, eq=False):
    """One login, until its logout.

    Attributes:
        peer: is ``current_call().peer`` in calls by the user.
        logout: called once, at the end.
        identity: the identity and the principal of the sent object, if the peer can drop it.
    """

    _logins: ActiveLogins
    peer: Peer
    logout: Callable[[], object]
    identity: tuple[Any, Principal] | None = None

    def end(self) -> None:
        """Log out; a second call does nothing."""
        self._logins._log_out(self)


def _nothing() -> None:
    """End nothing: the login has ended already."""
