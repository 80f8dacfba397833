"""The connections of a factory of the published API, as an inspector sees those of a server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from broker.connection.broker import Broker
from broker.errors import Error
from broker.inspection.health import Checks
from broker.inspection.inspector import Inspector
from broker.login.portal_logins import PortalLogins
from broker.observers import Observer
from broker.server_connections import end_connections
from broker.server_log import Accepted

__all__ = ["OfFactory"]


class OfFactory:
    """The connections that a factory has made.

    Args:
        limits: how often each limit has refused something.
        logins: what the logins of its portal share; None without a portal.
        observers: of its connections.

    Attributes:
        accepted: the open connections, oldest first.
        health: the checks of the application.
        closed_by: how many connections have ended, by the class of the error that ended them.
        observers: as given.
        inspector: shows these connections; None before it is made.
    """

    addresses: tuple[str, ...] = ()
    is_closing = False
    replies_kept: int | None = None

    def __init__(
        self,
        limits: Counter[str],
        logins: PortalLogins | None,
        observers: tuple[Observer, ...] = (),
    ):
        self.observers = observers
        self.inspector: Inspector | None = None
        self.limits: Mapping[str, int] = limits
        self.accepted: dict[Broker, Accepted] = {}
        self.health = Checks()
        self._logins = logins
        self.closed_by: Counter[str] = Counter()
        self._count = 0

    @property
    def counts(self) -> tuple[int, int]:
        """The connections that were accepted, and those that have ended."""
        return self._count, self._count - len(self.accepted)

    def add(self, broker: Broker) -> None:
        """Note a new connection."""
        self._count += 1
        self.accepted[broker] = Accepted(self._count, time.monotonic())
        broker.closed.addCallback(self._forget, broker)

    def kick(self, *, user: str | None, number: int | None, reason: str) -> int:
        """End connections; see `broker.Server.kick`."""
        return end_connections(self.accepted, self._logins, user, number, reason)

    def begin_closing(self, drain: float | None, after: float | None = None) -> None:
        """Refuse it: the port of a factory belongs to the program.

        Raises:
            Error: always.
        """
        raise Error("a factory is not drained: the program closes its port")

    def _forget(self, result: None, broker: Broker) -> None:
        self.accepted.pop(broker, None)
        self.closed_by[type(broker.reason).__name__] += 1
