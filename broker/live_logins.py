"""The logins of one connection that last: who is in, until when, and the logout of each, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from zope.interface import classImplements

from broker import journal
from broker.connection import Broker
from broker.defer import maybeDeferred
from broker.errors import LoginExpired
from broker.net.scheduler import Cancellable, scheduler_for
from cred.checkers import ANONYMOUS
from cred.identity import Identity
from jelly.interfaces import IJellyable

__all__ = ["LiveLogins", "Occupant"]

# Here, where the two meet: cred knows no jelly, and jelly no login.
classImplements(Identity, IJellyable)

_EXPIRED = "token expired; log in again"


class Occupant(NamedTuple):
    """Who has been let in.

    Attributes:
        avatar_id: as text; None for nobody in particular.
        mechanism: the name of the way in.
        groups: the groups that this user is in.
        expires: when the login ends, in seconds since 1970; None for never.
    """

    avatar_id: str | None
    mechanism: str
    groups: frozenset[str] = frozenset()
    expires: float | None = None

    @classmethod
    def of(cls, avatar_id: Any, mechanism: str) -> Occupant:
        """Make one of what a checker has answered."""
        if isinstance(avatar_id, Identity):
            return cls(str(avatar_id), mechanism, avatar_id.groups, avatar_id.expires)
        if avatar_id == ANONYMOUS:
            return cls(None, mechanism)
        is_octets = isinstance(avatar_id, bytes)
        text = avatar_id.decode("utf-8", "replace") if is_octets else str(avatar_id)
        return cls(text, mechanism)


class LiveLogins:
    """The logins of one connection that have not been logged out.

    The last of them is what ``broker.peer`` tells. When one expires that still has its avatar, the
    connection ends.

    Args:
        broker: the server's side of the connection.
        clock: the time, in seconds since 1970.
    """

    __slots__ = ("_broker", "_clock", "_occupants")

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.time):
        self._broker = broker
        self._clock = clock
        self._occupants: dict[_Stay, Occupant] = {}

    def __len__(self) -> int:
        return len(self._occupants)

    def add(self, occupant: Occupant, sent: Any, logout: Callable[[], Any]) -> None:
        """Note a login; call its ``logout`` once, when the peer drops ``sent`` or has gone.

        Raises:
            LoginExpired: it has ended already; ``logout`` is called.
        """
        broker = self._broker
        stay = _Stay(self, logout)
        self._occupants[stay] = occupant
        left = None if occupant.expires is None else occupant.expires - self._clock()
        if left is not None and left <= 0:
            stay.end()
            raise LoginExpired(_EXPIRED)
        if broker.disconnected:
            # The peer went while the realm was still making the avatar.
            stay.end()
            return
        if left is not None:
            stay.timer = scheduler_for(broker.transport).later(left, self._expire)
        end = stay.end
        broker.notifyOnDisconnect(end)
        if hasattr(sent, "processUniqueID"):
            broker.when_released(sent, end)
        self._show()

    def _log_out(self, stay: _Stay) -> None:
        if self._occupants.pop(stay, None) is None:
            return
        broker = self._broker
        broker.dontNotifyOnDisconnect(stay.end)
        if stay.timer is not None:
            stay.timer.cancel()
        if not broker.disconnected:
            self._show()
        maybeDeferred(stay.logout)

    def _show(self) -> None:
        last = next(reversed(self._occupants.values()), None)
        peer = self._broker.peer
        peer.avatar_id = None if last is None else last.avatar_id
        peer.mechanism = None if last is None else last.mechanism
        peer.groups = frozenset() if last is None else last.groups

    def _expire(self) -> None:
        """End the connection in good order; nothing that the peer asks from now on is done."""
        broker = self._broker
        journal.expired(broker, LoginExpired(_EXPIRED))
        broker.session.drain()
        broker.say_goodbye("expired", _EXPIRED)
        broker.transport.loseConnection()


class _Stay:
    """One login, until its logout.

    Attributes:
        logout: called once, at the end.
        timer: of its expiry; None where it does not expire.
    """

    __slots__ = ("_logins", "logout", "timer")

    def __init__(self, logins: LiveLogins, logout: Callable[[], Any]):
        self._logins = logins
        self.logout = logout
        self.timer: Cancellable | None = None

    def end(self) -> None:
        """Log out; nothing happens where that was done already."""
        self._logins._log_out(self)
