"""``broker.PortalLogins``: what the logins of all front ends of a portal share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from broker.core.policy import STRICT, Policy
from broker.errors import ServerBusy, ServerDraining, WrongType
from broker.given import check_given
from broker.login.arrivals import peer_of_front_end
from broker.login.audit import Audit
from broker.login.client import as_login_failed
from broker.login.pending import PendingConnections, TooManyPending
from broker.login.sessions import Sessions
from broker.login.throttle import LoginThrottle
from broker.login.visits import Visit
from broker.net.log_throttle import LogThrottle
from broker.net.scheduler import scheduler_of
from broker.stopping import NO_NOTICE, Notice
from cred.portal import Portal
from jelly.limit_errors import as_kind

__all__ = ["PortalLogins"]

logger = logging.getLogger("broker.login")

LEAVING = "the server is shutting down"


class PortalLogins:
    """The logins of all front ends of one portal: PB servers, and others such as IRC or the web.

    ::

        logins = broker.PortalLogins(portal)

        async def opened(reader, writer):                       # for asyncio.start_server
            async with logins.arrive(writer) as visit:
                login = await visit.login(credentials, mind, IGuest, mechanism="lines")
                login.avatar.say((await reader.readline()).decode())

        async with broker.serve(logins, "pbs://0.0.0.0:8787", tls=tls):
            ...

    Give it to ``broker.serve``, ``broker.blocking.serve`` or ``pb.PBServerFactory`` in place of the
    portal. All front ends have one throttle of failed logins, one audit log, and one count of the
    connections that have not logged in.

    Args:
        portal: checks the credentials and makes the avatars. Its ``throttle`` is used if it has
            one.
        policy: ``max_waiting``, ``max_waiting_each``, ``login_timeout``, ``max_refs`` and
            ``text_user_names`` hold for visits; the first two also for the PB servers of this
            object, instead of those of the servers' own policies.
        clock: returns the time, in seconds since 1970; for the expiry of logins of visits.

    Attributes:
        portal, policy, clock: as given.
        throttle: limits failed logins.
        audit: the log of logins.
        pending: the connections and visits that have not logged in.
        sessions: the connections and visits on which users have logged in.
        limits: how often each limit has refused or ended a visit, by the name of its setting.
        log_throttle: limits the log records about visits.

    Raises:
        WrongType: a TypeError: ``portal`` is not a Portal, or ``policy`` is not a Policy.
    """

    def __init__(
        self,
        portal: Portal,
        *,
        policy: Policy = STRICT,
        clock: Callable[[], float] = time.time,
    ):
        if not isinstance(portal, Portal):
            raise WrongType(f"PortalLogins takes a Portal, not {type(portal).__name__}")
        check_given(policy, None)
        self.portal = portal
        self.policy = policy
        self.clock = clock
        self.throttle = LoginThrottle() if portal.throttle is None else portal.throttle
        self.audit = Audit()
        self.pending = PendingConnections(policy)
        self.sessions = Sessions()
        self.limits: Counter[str] = Counter()
        self.log_throttle = LogThrottle()
        # A dict for its order: visits are ended in the order in which they came.
        self._visits: dict[Visit, None] = {}
        self._servers: set[object] = set()
        self._is_closing = False
        self._notice = NO_NOTICE

    def __repr__(self) -> str:
        return f"<PortalLogins, {len(self._visits)} visits>"

    @property
    def visits(self) -> tuple[Visit, ...]:
        """The visits that have not ended."""
        return tuple(self._visits)

    def arrive(self, peer: object, *, is_private: bool | None = None) -> Visit:
        """Begin a visit: a connection of a front end, or a request of it.

        It counts as a connection that has not logged in until its first login. If there are too
        many, a visit or connection of the source that has the most is ended for it.

        Args:
            peer: a transport of asyncio, of ``broker.reactor`` or of Twisted, or a StreamWriter; or
                the address of the peer, as ``(host, port)``, as an object with a ``host``, as a str
                with an IP address, or the path of a UNIX socket, which may be empty.
            is_private: whether a third party cannot read what the peer sends: it uses TLS, or is on
                this machine. None if ``peer`` is a transport, which knows both. Behind a proxy only
                the front end knows.

        Returns:
            The visit, for ``async with``. Without that, call `Visit.close` at its end.

        Raises:
            LoginFailed: LoginWhileBusy, a ServerBusy: too many connections wait for a login.
                LoginWhileDraining, a ServerDraining: the server is being closed.
            PBConnectionLost: the peer has disconnected already, so that its address is not known.
            ConfigError: ``peer`` is not an address, or does not tell whether it is private.
            WrongType: a TypeError: an argument is of the wrong type.
            RuntimeError: no asyncio loop is running.
        """
        address, is_private = peer_of_front_end(peer, is_private)
        scheduler = scheduler_of(asyncio.get_running_loop())
        self.check_open()
        self.log_throttle.begin(scheduler)
        try:
            visit = Visit(self, address, is_private, scheduler)
        except TooManyPending as refusal:
            self.limits[refusal.limit] += 1
            host = getattr(address, "host", address)
            text = "refused %s: %s"
            self.log_throttle.log(logger, logging.WARNING, address, text, host, refusal)
            raise as_login_failed(as_kind(ServerBusy, refusal)) from None
        self._visits[visit] = None
        visit.ended.addCallback(self._ended, visit)
        return visit

    def end_sessions(self, user: str, reason: str = "an operator has ended the session") -> int:
        """End all connections and visits on which a user has logged in, on every front end, now.

        A connection of several users ends for all of them, even if that user has logged out: it may
        still have objects of that user. The user can log in again. A user who is disabled in a
        store needs no call of this: all sessions end within two seconds.

        Args:
            user: the avatar id, as text.
            reason: the text for the peers, and of the LoginExpired that ends a visit.

        Returns:
            The number of connections and visits.
        """
        return self.sessions.end(user, reason)

    async def close(self, *, timeout: float | None = None) -> None:
        """End all visits, and wait until their blocks have ended; accept no more of them.

        The close of the last ``broker.Server`` that serves this object does so. Without such a
        server call this, also if there are factories of the published API. A server that begins
        later accepts visits again.

        Args:
            timeout: the most seconds to wait; default ``close_timeout`` of the policy.
        """
        self._is_closing = True
        visits = self.visits
        for visit in visits:
            visit.stop(self._refusal())
        here = asyncio.current_task()
        blocks = [
            asyncio.ensure_future(visit.wait_left()) for visit in visits if visit.block is not here
        ]
        seconds = self.policy.close_timeout if timeout is None else timeout
        if blocks:
            _, late = await asyncio.wait(blocks, timeout=seconds)
            for block in late:
                block.cancel()
        self.log_throttle.settle()

    def check_open(self) -> None:
        """Raise LoginWhileDraining, a LoginFailed, if the server is being closed."""
        if self._is_closing:
            raise self._refusal()

    def _refusal(self) -> Exception:
        after, elsewhere = self._notice.after, self._notice.elsewhere
        return as_login_failed(ServerDraining(LEAVING, after=after, elsewhere=elsewhere))

    def begin_serving(self, server: object) -> None:
        """Note that a server accepts logins."""
        self._servers.add(server)
        self._is_closing = False

    def begin_closing(self, server: object, notice: Notice = NO_NOTICE) -> bool:
        """Note that a server is being closed; return whether no other server is left.

        If so, visits and logins are refused from now on.

        Args:
            server: the server.
            notice: when and where they may be tried again.
        """
        self._notice = notice
        self._servers.discard(server)
        if not self._servers:
            self._is_closing = True
        return self._is_closing

    def _ended(self, reason: Exception | None, visit: Visit) -> None:
        self._visits.pop(visit, None)
        limit = getattr(reason, "limit", "")
        if limit:
            self.limits[limit] += 1
