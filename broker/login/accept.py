"""The reception: what every server does with a connection, from its arrival to its login."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any

from broker.connection.broker import Broker
from broker.connection.budget import Budget
from broker.connection.turns import Turns
from broker.core.policy import Policy
from broker.errors import PBConnectionLost
from broker.login.pending import PendingConnections, TooManyPending
from broker.login.server import LoginRoot
from broker.net.log_throttle import LogThrottle

__all__ = ["Acceptor"]

logger = logging.getLogger("broker.server")


class Acceptor:
    """Where the connections of one server arrive.

    Args:
        policy: how many may wait for their login, how long, and what all may hold together.
        limits: counts how often each of these has bitten.

    Attributes:
        ration: the records of the log about all peers that have not logged in; where there is no
            login, about all.
    """

    def __init__(self, policy: Policy, limits: Counter[str]):
        self.limits = limits
        self._policy = policy
        self._pending = PendingConnections(policy)
        self._turns = Turns(policy.turn_time)
        self.ration = LogThrottle()
        self._budget = Budget(policy.max_buffered)

    @property
    def waiting(self) -> int:
        """The connections that have not logged in, where there is a login."""
        return len(self._pending)

    def receive(self, broker: Broker, root: Any, address: Any) -> bool:
        """Name the root to a new connection; return False, and log, where it cannot be let in.

        Where too many wait for a login, one of those may be closed for the new one.

        Args:
            broker: of the connection, which has no transport yet.
            root: what is called first; the login object of a portal makes it wait for a login.
            address: where the connection comes from.
        """
        if isinstance(root, LoginRoot) and not self._let_wait(broker, root, address):
            return False
        broker.session.stats.total = self.limits
        broker.pump.turns = self._turns
        broker.share_ration(self.ration)
        broker.pump.budget = self._budget
        broker.setNameForLocal(b"root", root)
        return True

    def _refuse(self, address: Any, refusal: TooManyPending) -> None:
        self.limits[refusal.limit] += 1
        host = getattr(address, "host", address)
        self.ration.log(logger, logging.WARNING, address, "refused %s: %s", host, refusal)

    def _let_wait(self, broker: Broker, root: LoginRoot, address: Any) -> bool:
        def dropped(refusal: TooManyPending) -> None:
            self._refuse(address, refusal)
            broker.cut(PBConnectionLost(str(refusal)), str(refusal))

        try:
            leave = self._pending.enter(address, dropped).leave
        except TooManyPending as refusal:
            self._refuse(address, refusal)
            return False
        root.when_accepted(leave)
        root.when_accepted(partial(broker.share_ration, None))
        broker.closed.addCallback(leave)
        seconds = self._policy.login_timeout
        broker.setup_timeouts.add("login", seconds, f"login not completed in {seconds:g} s")
        return True
