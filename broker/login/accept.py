"""Accepts the connections of a server: checks limits, and watches each until its login."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable
from functools import partial

from broker.connection.broker import Broker
from broker.connection.budget import Budget
from broker.connection.turns import Turns
from broker.core.policy import Policy
from broker.core.wire.terms import Serving
from broker.errors import PBConnectionLost
from broker.login.pending import PendingConnections, TooManyPending
from broker.login.server import LoginRoot
from broker.net.log_throttle import LogThrottle
from broker.replies import KeptReplies, RepliesToPeer
from jelly.limit_errors import as_kind

__all__ = ["Acceptor"]

logger = logging.getLogger("broker.server")


class Acceptor:
    """Accepts the connections of one server.

    Args:
        policy: how many connections may wait for a login, how long, and how much data all
            connections together may hold.
        limits: counts the refusals by each limit.
        pending: the connections that have not logged in; None for those of this server only.
        replies: the replies to calls that run at most once, or None.

    Attributes:
        log_throttle: limits the log records about all peers that have not logged in; about all
            peers of a server without a login.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Counter[str],
        pending: PendingConnections | None = None,
        replies: KeptReplies | None = None,
    ):
        self.limits = limits
        self._replies = replies
        seconds = 0 if replies is None else replies.seconds
        self._serving = Serving(seconds, secrets.randbits(63))
        self._policy = policy
        # Those of a PortalLogins have its policy.
        self._owns_pending = pending is None
        self._pending = PendingConnections(policy) if pending is None else pending
        self._turns = Turns(policy.turn_time)
        self.log_throttle = LogThrottle()
        self._budget = Budget(policy.max_buffered)
        # How to end each connection whose client is not known yet.
        self._arriving: dict[object, Callable[[], object]] = {}

    @property
    def waiting(self) -> int:
        """The number of connections that have not logged in, of a server with a login.

        Those of other front ends are among them if the servers share their logins.
        """
        return len(self._pending)

    def use_policy(self, policy: Policy) -> None:
        """Use another policy for new connections; what all connections together may hold stays."""
        self._policy = policy
        if self._owns_pending:
            self._pending.use_policy(policy)

    def receive(self, broker: Broker, root: object, address: object) -> bool:
        """Give a new connection its root; return False, and log, if it is refused.

        If too many connections wait for a login, one of them may be closed for the new one.

        Args:
            broker: the connection, which has no transport yet.
            root: the root object; with a LoginRoot the connection must log in in time.
            address: the peer's address.
        """
        if isinstance(root, LoginRoot) and not self._let_wait(broker, root, address):
            return False
        broker.session.counters.total = self.limits
        broker.pump.turns = self._turns
        broker.share_log_throttle(self.log_throttle)
        broker.pump.budget = self._budget
        broker.session.outbox.serving = self._serving
        if self._replies is not None:
            has_logins = isinstance(root, LoginRoot)
            broker.session.incoming.replies = RepliesToPeer(self._replies, has_logins=has_logins)
        broker.setNameForLocal(b"root", root)
        return True

    def arrive(self, address: object, cut: Callable[[], object]) -> Callable[[], object] | None:
        """Count a connection whose client is not known yet: see `broker.net.filters.Arrive`.

        It counts as one that has not logged in, also at a server without a login.
        """

        def dropped(refusal: TooManyPending) -> None:
            self._refuse(address, refusal)
            cut()

        try:
            slot = self._pending.enter(address, dropped)
        except TooManyPending as refusal:
            self._refuse(address, refusal)
            return None
        self._arriving[slot] = cut

        def leave() -> None:
            self._arriving.pop(slot, None)
            slot.leave()

        return leave

    def end_arrivals(self) -> None:
        """Cut the connections whose client is not known yet: the server closes."""
        for cut in list(self._arriving.values()):
            cut()

    def _refuse(self, address: object, refusal: TooManyPending) -> None:
        self.limits[refusal.limit] += 1
        host = getattr(address, "host", address)
        self.log_throttle.log(logger, logging.WARNING, address, "refused %s: %s", host, refusal)

    def _let_wait(self, broker: Broker, root: LoginRoot, address: object) -> bool:
        def dropped(refusal: TooManyPending) -> None:
            self._refuse(address, refusal)
            broker.cut(as_kind(PBConnectionLost, refusal), str(refusal))

        try:
            leave = self._pending.enter(address, dropped).leave
        except TooManyPending as refusal:
            self._refuse(address, refusal)
            return False
        root.when_accepted(leave, partial(broker.share_log_throttle, None))
        broker.closed.addCallback(leave)
        seconds = self._policy.login_timeout
        broker.setup_timeouts.add("login", seconds)
        return True
