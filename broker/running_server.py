"""A server that runs: where it listens, its connections, how it drains and closes."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.collecting import without_startup
from broker.connection.broker import Broker
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.given import check_given
from broker.interceptors import Interceptor
from broker.login.accept import Acceptor
from broker.login.portal_logins import LEAVING
from broker.login.server import PortalRoot, root_of
from broker.net import forks
from broker.net.listener import Listener
from broker.net.locations import WebPlace
from broker.net.log_throttle import LogThrottle
from broker.net.scheduler import scheduler_of
from broker.net.schemes import AcceptSettings, Location, scheme_of
from broker.net.tls.settings import TLS
from broker.net.twisted_transport import port_of
from broker.net.web_settings import WebSettings
from broker.observers import Observer
from broker.printable import printable, text_of_value
from broker.replies import KeptReplies, Replies
from broker.server_connections import ServerConnections, ServerStats
from broker.server_pages import NO_PAGES, PageSettings, ServerPages
from broker.service_manager import ServiceManager
from broker.stopping import (
    DRAIN,
    NO_NOTICE,
    Notice,
    checked_drain,
    checked_notice,
    close_all,
    drained,
    until_told,
)

if TYPE_CHECKING:
    from broker.flavors.referenceable import Referenceable
    from broker.inspection.contract import ServerSnapshot
    from broker.inspection.health import Checks
    from broker.inspection.inspector import Inspector
    from broker.pb import PBServerFactory

__all__ = ["Server", "ServerStats", "inspector"]

_ADMIN_DRAIN = 1.0

logger = logging.getLogger("broker.server")


class Server(ServerConnections):
    """A running server.

    Attributes:
        addresses: the addresses it listens at, with the real ports; each can be passed to
            ``connect``.
        stats: the counters.
        http_address: the address of its HTTP port, with the real port; None without one.
    """

    def __init__(
        self,
        root: Any,
        policy: Policy,
        drain: float = DRAIN,
        notice: Notice = NO_NOTICE,
        replies: Replies | None = None,
        *,
        shares_ports: bool = False,
        observers: tuple[Observer, ...] = (),
        interceptors: tuple[Interceptor, ...] = (),
        pages: PageSettings = NO_PAGES,
    ):
        self._root = root_of(root)
        # Shared with other front ends if the target is a PortalLogins.
        logins = self._root.logins if isinstance(self._root, PortalRoot) else None
        super().__init__(logins, observers, interceptors)
        self._drain = drain
        self._notice = notice
        self._replies = None if replies is None else KeptReplies(replies)
        self._shares_ports = shares_ports
        self._manager = ServiceManager({})
        self.addresses: tuple[str, ...] = ()
        pending = self._root.pending if isinstance(self._root, PortalRoot) else None
        self._acceptor = Acceptor(policy, self.stats.limits, pending, self._replies)
        self._policy = policy
        self._tls: TLS | None = None
        self._listeners: list[Listener] = []
        self._has_begun = False
        self._is_closing = False
        self._closing: asyncio.Future[None] | None = None
        self._health: Checks | None = None
        self.inspector: Inspector | None = None
        self._admin: Server | None = None
        self._pages = ServerPages(self, pages, logins, Server, lambda: inspector(self))
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        places = ", ".join(self.addresses)
        if self._closed.is_set():
            return f"<Server at {places}, closed>"
        count = len(self._brokers)
        state = f"{count} connection{'' if count == 1 else 's'}"
        return f"<Server at {places}, {state}{', closing' * self._is_closing}>"

    @property
    def state(self) -> str:
        """``"ready"`` while clients are let in, else ``"draining"``."""
        return "draining" if self._is_closing else "ready"

    @property
    def health(self) -> Checks:
        """The checks of the application: ``server.health.add(name, check)``."""
        if self._health is None:
            # Imported here: most servers have none.
            from broker.inspection.health import Checks

            self._health = Checks()
        return self._health

    @property
    def replies_kept(self) -> int | None:
        """How many replies are kept for calls that are made again; None if none ever are."""
        return None if self._replies is None else self._replies.count

    @property
    def has_checks(self) -> bool:
        """Whether the application has added checks to `health`."""
        return self._health is not None and self._health.are_there

    @property
    def http_address(self) -> str | None:
        """The address of its HTTP port, with the real port; None without one."""
        return self._pages.address

    @property
    def is_closing(self) -> bool:
        """Whether it accepts no more connections."""
        return self._is_closing

    def begin_closing(self, drain: float | None = None, after: float | None = None) -> None:
        """Begin `close`, without waiting for its end; ``serve_forever`` returns at that.

        Raises:
            ConfigError: as from `close`.
        """
        seconds = self._drain if drain is None else checked_drain(drain)
        if after is not None:
            checked_notice(after, ())
        closing = self._closing or asyncio.ensure_future(self.close(drain=seconds, after=after))
        self._closing = closing

    async def serve_forever(
        self,
        *,
        drain: float | None = None,
        handle_signals: bool = True,
        reload: Callable[[], object] | None = None,
    ) -> None:
        """Serve until the server is closed, or SIGINT or SIGTERM comes; then drain and close.

        A second signal closes it at once. SIGHUP reads the certificates again if they are files,
        and then calls ``reload``; without both, SIGHUP is not handled here.

        A service manager, such as systemd, is told the state if there is ``NOTIFY_SOCKET`` in the
        environment, and its watchdog is fed by a timer of the loop.

        Until it returns, the garbage collector does not visit the objects that exist now; see
        `gc.freeze`.

        Args:
            drain: seconds for the calls that run when the signal comes; see `close`.
            handle_signals: whether to handle these signals; only possible in the main thread.
            reload: called at SIGHUP, to read the configuration of the program again. An error of it
                is logged, and the server continues.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
        """
        seconds = self._drain if drain is None else checked_drain(drain)
        handlers: dict[signal.Signals, Callable[[], None]] | None = None
        if handle_signals:
            handlers = {}
            if reload is not None or (self._tls is not None and self._tls.files):
                handlers[signal.SIGHUP] = partial(self._hung_up, reload)
        self._manager = manager = ServiceManager()
        # After the signals are handled: the manager may send one at once.
        asyncio.get_running_loop().call_soon(manager.begin, self._status)
        try:
            with without_startup():
                await until_told(
                    self._closed.wait(),
                    lambda: self.close(drain=seconds),
                    lambda: self.close(drain=0),
                    handlers,
                )
        finally:
            manager.end()

    def reload_certificates(self) -> None:
        """Read the files of certificates and keys again, for new connections.

        Open connections are not affected. Call this to learn at once whether the new files are
        valid: after a change they are also read by themselves, at the next connection.

        Raises:
            ConfigError: the files are not valid; the old certificates stay in use.
        """
        if self._tls is not None:
            self._tls.reload()

    def use_policy(self, policy: Policy) -> None:
        """Use another policy for new connections; open connections keep theirs.

        ``max_buffered``, ``turn_time`` and ``handshake_timeout`` stay as they were, and so do
        ``max_pings`` and ``ping_after`` for the frames of a WebSocket.

        Raises:
            WrongType: a TypeError: ``policy`` is not a Policy.
        """
        check_given(policy, None)
        self._policy = policy
        self._acceptor.use_policy(policy)

    def _hung_up(self, reload: Callable[[], object] | None) -> None:
        steps = (self.reload_certificates, *(() if reload is None else (reload,)))
        self._manager.reload(lambda: all(map(self._has_read, steps)))

    def _has_read(self, step: Callable[[], object]) -> bool:
        """Call a function that reads files again; log its error. Return True, so that all run."""
        try:
            step()
        except ConfigError as exc:
            text = "reading the configuration again for SIGHUP: ConfigError: %s"
            if step == self.reload_certificates:
                text = "reading certificates again for SIGHUP: ConfigError: %s"
            logger.error(text, printable(text_of_value(exc), 600, is_ascii=False))
        except Exception:
            logger.exception("reading the configuration again for SIGHUP")
        return True

    def _status(self) -> str:
        count = len(self._brokers)
        state = "draining" if self._is_closing else "serving"
        return f"{state}, {count} connection{'' if count == 1 else 's'}"

    async def close(
        self,
        *,
        drain: float | None = None,
        after: float | None = None,
        elsewhere: Sequence[str] | None = None,
    ) -> None:
        """Stop accepting, wait for running calls, and close.

        Clients are told at once (in `msgpack/1`) and make no more calls. A call that comes
        nevertheless is refused with ServerDraining. A connection stays open until its last call has
        ended and the answer has been sent. Both tell the client ``after`` and ``elsewhere``.

        Args:
            drain: seconds to wait for running calls; 0 for no wait, ``math.inf`` for no limit;
                default the argument of `serve`.
            after: seconds after which clients may come again; default the argument of `serve`.
            elsewhere: addresses of servers that take the calls now; default the argument of
                `serve`.

        Raises:
            ConfigError: ``drain`` or ``after`` is negative, or not a number, or ``elsewhere`` is
                not a list of at most 8 addresses.
        """
        seconds = self._drain if drain is None else checked_drain(drain)
        self._notice = notice = checked_notice(
            self._notice.after if after is None else after,
            self._notice.elsewhere if elsewhere is None else elsewhere,
        )
        for broker in self._brokers:
            forks.check(broker)
        self._is_closing = True
        if seconds:
            self._manager.stopping()
        logins = self._logins
        is_last = logins is not None and logins.begin_closing(self, notice)
        for listener in self._listeners:
            listener.close()
        self._acceptor.end_arrivals()
        if seconds:
            await drained(self._brokers, seconds, notice, *self._calls_without_connection())
        closing = close_all(self._brokers, self._policy.close_timeout, LEAVING, at_once=not seconds)
        if logins is not None and is_last:
            await asyncio.gather(closing, logins.close(timeout=self._policy.close_timeout))
        else:
            await closing
        if self._replies is not None:
            # Only now: the callers learn of the end of the server, not of a cancelled method.
            self._replies.cancel()
        self._acceptor.log_throttle.settle()
        await self._end_inspection()
        self._closed.set()

    def _calls_without_connection(self) -> list[Awaitable[object]]:
        return [] if self._replies is None else [self._replies.idle()]

    async def _end_inspection(self) -> None:
        inspector, self.inspector = self.inspector, None
        if inspector is not None:
            inspector.stop()
        admin, self._admin = self._admin, None
        if admin is not None:
            # An operator who has asked for the drain gets an answer.
            await admin.close(drain=_ADMIN_DRAIN)
        await self._pages.close()

    def attach(self, transport: Any) -> Broker | None:
        """Serve a connection that something else has accepted.

        It has the limits of a connection that this server has accepted itself, and is closed with
        it. The caller gives bytes of the peer to ``dataReceived`` of the result, in any pieces, and
        at the end a Failure to ``connectionLost``, once.

        Args:
            transport: a `broker.net.transport_port.TransportPort`, or an object with ``write`` and
                ``loseConnection`` and other methods of a transport of Twisted.

        Returns:
            The protocol; None if the connection is refused: the transport is closed then.
        """
        port = port_of(transport)
        broker = self._accept(port.peer_address)
        if broker is None:
            port.abortConnection()
            return None
        broker.makeConnection(transport)
        return broker

    def begin(self) -> None:
        """Let clients in: the loop runs. `serve` does this; a second call does nothing."""
        if not self._has_begun:
            self._has_begun = True
            self._acceptor.log_throttle.begin(scheduler_of(asyncio.get_running_loop()))
            if self._logins is not None:
                self._logins.begin_serving(self)

    @property
    def log_throttle(self) -> LogThrottle:
        """Limits the log records about peers that have not logged in."""
        return self._acceptor.log_throttle

    def snapshot(self) -> ServerSnapshot:
        """Return what this server shows now: numbers, names and states, never values.

        It is the result of ``Inspection.server``, for a program that has the server itself. From
        the first call on the server is sampled each second, until it is closed.

        Raises:
            RuntimeError: the server is closed, or no event loop is running.
        """
        return self._inspected().snapshot()

    def _inspected(self) -> Inspector:
        """Return its inspector, which is made at the first call.

        Raises:
            RuntimeError: the server is closed.
        """
        if self._closed.is_set():
            raise RuntimeError("this server is closed")
        if self.inspector is None:
            # Imported here: most servers have none.
            from broker.inspection.inspector import Inspector

            self.inspector = Inspector(self)
        return self.inspector

    async def listen(
        self,
        locations: Sequence[Location],
        tls: TLS | None,
        web: WebSettings,
        admin: Location | None,
        manhole: Mapping[str, object] | None,
    ) -> None:
        """Listen at all places; after an error, the server is closed. `serve` does this, once.

        Args:
            locations: for clients.
            tls: for those inside TLS.
            web: for those over WebSocket.
            admin: the socket of operators, or None.
            manhole: the names at the prompt of operators, or None.

        Raises:
            CannotListenError: a port is in use, or the process may not open it.
        """
        self._listen(locations, tls, web)
        try:
            if admin is not None:
                self._listen_admin(admin, manhole)
            self._pages.listen(self._settings(None, WebSettings()))
        except BaseException:
            await self.close(drain=0)
            raise

    def _listen_admin(self, location: Location, names: Mapping[str, object] | None) -> None:
        """Open the socket of operators: only the user of this process can connect to it."""
        # Imported here: most servers have none.
        from broker.flavors.contracts.servant import servant
        from broker.inspection.contract import Administration
        from broker.inspection.manhole import Manhole

        shown = self._inspected()
        if names is not None:
            shown.shell = Manhole({"server": self, **names})
        self._admin = admin = Server(servant(Administration)(shown), STRICT)
        admin._listen([location], None, WebSettings())

    def _listen(self, locations: Sequence[Location], tls: TLS | None, web: WebSettings) -> None:
        self._tls = tls
        bound = []
        with ExitStack() as undo:
            for location in locations:
                scheme = scheme_of(location)
                bind = scheme.bind_shared if self._shares_ports else None
                sockets = (bind or scheme.bind)(location)
                bound.append((location, sockets))
                undo.callback(_unbind, location, sockets)
            undo.pop_all()
        self.begin()
        self._pages.begin()
        addresses = []
        for location, sockets in bound:
            scheme = scheme_of(location)
            settings = self._settings(tls if scheme.is_tls else None, web, location)
            self._listeners.append(scheme.accept(location, sockets, self._accept, settings))
            addresses.append(str(scheme.real_address(location, sockets)))
        self.addresses = tuple(addresses)

    def _settings(
        self, tls: TLS | None, web: WebSettings, location: Location | None = None
    ) -> AcceptSettings:
        policy = self._policy
        is_here = isinstance(location, WebPlace) and location.is_loopback
        return AcceptSettings(
            tls=tls,
            handshake_timeout=policy.handshake_timeout,
            close_timeout=policy.close_timeout,
            log_throttle=self._acceptor.log_throttle,
            arrive=self._acceptor.arrive,
            state=self._pages.state,
            proxies=web.proxies,
            origins=web.origins,
            max_pings=policy.max_pings,
            ping_after=policy.ping_after,
            operators=self._pages.shown if is_here else None,
        )

    def _accept(self, address: Any) -> Broker | None:
        if self._is_closing:
            return None
        broker = Broker(False, policy=self._policy)
        broker.peer.address = address
        if not self._acceptor.receive(broker, self._root.rootObject(broker), address):
            return None
        self._enter(broker)
        return broker


def inspector(server: Server | PBServerFactory) -> Referenceable:
    """Return the object by which operators see a server: a servant of ``Inspection``.

    Give it to peers that may see all of it and kick others, by a method with a condition::

        @broker.allow("operators")
        def perspective_inspector(self):
            return broker.inspector(server)

    Args:
        server: a server that runs in this loop; or a factory of the published API, of which it
            shows the connections that come later. From the first call of this function until its
            end it is sampled each second.

    Raises:
        RuntimeError: the server is closed, or no event loop is running.
    """
    if not isinstance(server, Server):
        return server.inspector()
    # Imported here: most servers have none.
    from broker.flavors.contracts.servant import servant
    from broker.inspection.contract import Inspection

    return servant(Inspection)(server._inspected())


def _unbind(location: Location, sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
    scheme_of(location).unbind(location)
