"""The logins of one connection: who is logged in, until when, and each logout once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from zope.interface import classImplements

from broker.connection import log
from broker.connection.broker import Broker
from broker.connection.peer import Peer
from broker.core.principal import Principal
from broker.defer import maybeDeferred
from broker.errors import LoginExpired
from broker.net.scheduler import Cancellable
from cred.checkers import ANONYMOUS
from cred.identity import Identity
from jelly.interfaces import IJellyable

__all__ = ["ActiveLogins", "Occupant", "Visitor"]

# Declared here, since cred does not import jelly, and jelly does not know cred.
classImplements(Identity, IJellyable)

_EXPIRED = "token expired; log in again"


class Occupant(NamedTuple):
    """The user of a login that a checker has accepted.

    Attributes:
        avatar_id: as text; None for a guest.
        mechanism: the name of the mechanism.
        groups: the groups that this user is in.
        expires: when the login ends, in seconds since 1970; None for never.
    """

    avatar_id: str | None
    mechanism: str
    groups: frozenset[str] = frozenset()
    expires: float | None = None

    @classmethod
    def of(cls, avatar_id: Any, mechanism: str) -> Occupant:
        """Make one of the avatar id that a checker returned."""
        if isinstance(avatar_id, Identity):
            return cls(str(avatar_id), mechanism, avatar_id.groups, avatar_id.expires)
        if avatar_id == ANONYMOUS:
            return cls(None, mechanism)
        is_octets = isinstance(avatar_id, bytes)
        text = avatar_id.decode("utf-8", "replace") if is_octets else str(avatar_id)
        return cls(text, mechanism)


class Visitor(Protocol):
    """The client of a login that is in progress.

    Attributes:
        peer: the ``current_call().peer`` of its calls; the same object before and after the login.
        principal: owns the objects that are sent to the client.
    """

    peer: Peer
    principal: Principal

    def accepted(self, occupant: Occupant) -> None:
        """Note that the login has succeeded."""


class ActiveLogins:
    """The logins of one connection that have not been logged out.

    ``broker.peer`` is the peer of the last of them. The connection ends when the first of all its
    logins expires, even one that has been logged out: the objects that a login has sent outlive its
    avatar.

    Args:
        broker: the server's side of the connection.
        clock: returns the time, in seconds since 1970.
    """

    __slots__ = ("_broker", "_clock", "_deadline", "_is_first", "_nobody", "_stays", "_timer")

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.time):
        self._broker = broker
        self._clock = clock
        self._nobody = broker.peer
        # A dict for its order.
        self._stays: dict[ActiveLogin, None] = {}
        self._is_first = True
        self._deadline: float | None = None
        self._timer: Cancellable | None = None

    def __len__(self) -> int:
        return len(self._stays)

    def add(
        self, occupant: Occupant, sent: Any, logout: Callable[[], Any], visitor: Visitor
    ) -> Callable[[], None]:
        """Add a login; call its ``logout`` once, when the peer drops ``sent`` or disconnects.

        Args:
            occupant: the user.
            sent: the object that is sent to the peer as its avatar.
            logout: a function without arguments.
            visitor: its ``peer`` gets the user's attributes, and its principal owns ``sent``.

        Returns:
            A function that ends this login at once, for an avatar that cannot be sent.

        Raises:
            LoginExpired: the login has expired already; ``logout`` is called.
        """
        broker = self._broker
        expires = occupant.expires
        if expires is not None and expires <= self._clock():
            maybeDeferred(logout)
            raise LoginExpired(_EXPIRED)
        if broker.disconnected:
            # The peer disconnected while the realm was making the avatar.
            maybeDeferred(logout)
            return _nothing
        peer = visitor.peer
        peer.avatar_id, peer.groups = occupant.avatar_id, occupant.groups
        peer.mechanism = occupant.mechanism
        stay = ActiveLogin(self, peer, logout)
        self._own(visitor.principal)
        if expires is not None:
            self._end_at(expires)
        if hasattr(sent, "processUniqueID"):
            stay.identity = sent.processUniqueID(), visitor.principal
            broker.when_released(sent, stay.end, visitor.principal)
        self._stays[stay] = None
        self._show()
        return stay.end

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

    def _log_out(self, stay: ActiveLogin) -> None:
        if stay not in self._stays:
            return
        del self._stays[stay]
        broker = self._broker
        if stay.identity is not None:
            broker.session.translator.exports.never_sent(*stay.identity)
        if not broker.disconnected:
            self._show()
        maybeDeferred(stay.logout)

    def _lost(self) -> None:
        """Log out all users: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
        for stay in list(self._stays):
            stay.end()

    def _show(self) -> None:
        last = next(reversed(self._stays), None)
        self._broker.peer = self._nobody if last is None else last.peer

    def _end_at(self, expires: float) -> None:
        """End the connection at that time, unless an earlier end is set."""
        if self._deadline is not None and self._deadline <= expires:
            return
        self._deadline = expires
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._broker.port.scheduler.later(expires - self._clock(), self._expire)

    def _expire(self) -> None:
        """Close the connection after what was sent; calls that come from now on are not run."""
        broker = self._broker
        log.expired(broker, LoginExpired(_EXPIRED))
        broker.session.drain()
        broker.say_goodbye("expired", _EXPIRED)
        port, seconds = broker.port, broker.policy.close_timeout
        port.loseConnection()
        # Otherwise pages that the peer has asked for would still be sent to their end.
        self._timer = port.scheduler.later(seconds, port.abortConnection)


class ActiveLogin:
    """One login, until its logout.

    Attributes:
        peer: is ``current_call().peer`` in calls by the user.
        logout: called once, at the end.
        identity: the identity and the principal of the sent object, if the peer can drop it.
    """

    __slots__ = ("_logins", "identity", "logout", "peer")

    def __init__(self, logins: ActiveLogins, peer: Peer, logout: Callable[[], Any]):
        self._logins = logins
        self.peer = peer
        self.logout = logout
        self.identity: tuple[Any, Principal] | None = None

    def end(self) -> None:
        """Log out; a second call does nothing."""
        self._logins._log_out(self)


def _nothing() -> None:
    """End nothing: the login has ended already."""
