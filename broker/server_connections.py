"""The connections of a server: counts them, tells the observers and the log, and ends some."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from broker import server_log
from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.interceptors import Interceptor, intercept
from broker.login.portal_logins import PortalLogins
from broker.observers import Observer, observe
from broker.server_log import Accepted

__all__ = ["ServerConnections", "ServerStats", "end_connections"]


class ServerStats(Struct):
    """The counters of a server.

    Attributes:
        accepted: connections accepted so far.
        closed: accepted connections that have ended.
        closed_by: the same, by the name of the class of the error that ended them.
        limits: how often each limit refused something, by the name of its setting; over all
            connections, including those that were refused at once.
    """

    accepted: int = 0
    closed: int = 0
    limits: Counter[str] = field(default_factory=Counter)
    closed_by: Counter[str] = field(default_factory=Counter)


class ServerConnections:
    """The half of a server that has its connections.

    Args:
        logins: the logins of the server; None without a login.
        observers, interceptors: of each connection.

    Attributes:
        stats: the counters.
    """

    def __init__(
        self,
        logins: PortalLogins | None,
        observers: tuple[Observer, ...],
        interceptors: tuple[Interceptor, ...],
    ):
        self.stats = ServerStats()
        self._logins = logins
        self._observers = observers
        self._interceptors = interceptors
        self._first, self._step = 1, 1
        # A dict for its order: connections are closed in the order in which they came.
        self._brokers: dict[Broker, Accepted] = {}

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open."""
        return tuple(broker.connection for broker in self._brokers)

    @property
    def accepted(self) -> Mapping[Broker, Accepted]:
        """The open connections, oldest first, each with its number and its time."""
        return self._brokers

    @property
    def observers(self) -> tuple[Observer, ...]:
        """The observers of its connections."""
        return self._observers

    @property
    def limits(self) -> Mapping[str, int]:
        """How often each limit has refused something."""
        return self.stats.limits

    @property
    def closed_by(self) -> Mapping[str, int]:
        """How many connections have ended, by the class of the error that ended them."""
        return self.stats.closed_by

    @property
    def counts(self) -> tuple[int, int]:
        """The connections that were accepted, and those that have ended."""
        return self.stats.accepted, self.stats.closed

    def number_from(self, first: int, step: int) -> None:
        """Number the connections first, first + step, and so on; for one of several processes.

        Raises:
            RuntimeError: a connection was accepted already.
        """
        if self.stats.accepted:
            raise RuntimeError("a connection has a number already")
        self._first, self._step = first, step

    def kick(self, *, user: str | None = None, number: int | None = None, reason: str = "") -> int:
        """End all connections on which a user has logged in, or one connection.

        The clients may connect again. See `PortalLogins.end_sessions` for the rules of users.

        Args:
            user: the avatar id.
            number: the number of a connection, as the inspector and the log show it.
            reason: a text for the clients.

        Returns:
            How many connections were ended.

        Raises:
            TypeError: not one of ``user`` and ``number`` is given.
        """
        if (user is None) == (number is None):
            raise TypeError("kick takes user= or number=")
        return end_connections(self._brokers, self._logins, user, number, reason)

    def _enter(self, broker: Broker) -> None:
        """Count a new connection, and tell the observers of it."""
        if self._observers:
            observe(broker, self._observers)
        if self._interceptors:
            intercept(broker, self._interceptors)
        self.stats.accepted += 1
        number = self._first + (self.stats.accepted - 1) * self._step
        self._brokers[broker] = accepted = Accepted(number, time.monotonic())
        server_log.begun(broker, accepted)
        broker.closed.addCallback(self._forget, broker)

    def _forget(self, result: Any, broker: Broker) -> None:
        accepted = self._brokers.pop(broker)
        self.stats.closed += 1
        self.stats.closed_by[type(broker.reason).__name__] += 1
        server_log.ended(broker, accepted)


def end_connections(
    accepted: Mapping[Broker, Accepted],
    logins: PortalLogins | None,
    user: str | None,
    number: int | None,
    reason: str,
) -> int:
    """End the connections of a user, or the one with a number; return how many there were.

    Args:
        accepted: the open connections.
        logins: end the sessions of a user; None without logins.
        user, number, reason: as of `ServerConnections.kick`.
    """
    text = reason or "an operator has ended the session"
    if user is not None:
        return 0 if logins is None else logins.end_sessions(user, text)
    found = [broker for broker, each in accepted.items() if each.number == number]
    for broker in found:
        broker.leave("kicked", text, at_once=True)
    return len(found)
