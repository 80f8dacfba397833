"""The server's side: ``serve``."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from msgspec import Struct, field

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError, WrongType
from broker.fixes import fixed_by
from broker.given import check_given
from broker.login.accept import Acceptor
from broker.login.portal_logins import LEAVING, PortalLogins
from broker.login.server import PortalRoot, root_of
from broker.net import forks
from broker.net.forwarded import X_FORWARDED_FOR
from broker.net.listener import Listener
from broker.net.log_throttle import LogThrottle
from broker.net.scheduler import scheduler_of
from broker.net.schemes import AcceptSettings, Location, parse_address, scheme_of
from broker.net.tls.settings import TLS
from broker.net.twisted_transport import port_of
from broker.net.web_settings import WebSettings, web_settings
from broker.opening import Opening
from broker.printable import printable, text_of_value
from broker.stopping import DRAIN, checked_drain, close_all, drained, until_told
from cred.portal import Portal

__all__ = ["Serve", "Server", "ServerStats", "serve"]

logger = logging.getLogger("broker.server")


class ServerStats(Struct):
    """The counters of a server.

    Attributes:
        accepted: connections accepted so far.
        closed: accepted connections that have ended.
        limits: how often each limit refused something, by the name of its setting; over all
            connections, including those that were refused at once.
    """

    accepted: int = 0
    closed: int = 0
    limits: Counter[str] = field(default_factory=Counter)


class Server:
    """A running server.

    Attributes:
        addresses: the addresses it listens at, with the real ports; each can be passed to
            ``connect``.
        stats: the counters.
    """

    def __init__(self, root: Any, policy: Policy, drain: float = DRAIN):
        self._drain = drain
        self.addresses: tuple[str, ...] = ()
        self.stats = ServerStats()
        self._root = root_of(root)
        # Shared with other front ends if the target is a PortalLogins.
        self._logins = self._root.logins if isinstance(self._root, PortalRoot) else None
        pending = self._root.pending if isinstance(self._root, PortalRoot) else None
        self._acceptor = Acceptor(policy, self.stats.limits, pending)
        self._policy = policy
        self._tls: TLS | None = None
        # A dict for its order: connections are closed in the order in which they came.
        self._brokers: dict[Broker, None] = {}
        self._listeners: list[Listener] = []
        self._has_begun = False
        self._is_closing = False
        self._closed = asyncio.Event()

    def __repr__(self) -> str:
        if self._closed.is_set():
            return f"<Server at {_listed(self.addresses)}, closed>"
        count = len(self._brokers)
        state = f"{count} connection{'' if count == 1 else 's'}"
        return f"<Server at {_listed(self.addresses)}, {state}{', closing' * self._is_closing}>"

    @property
    def state(self) -> str:
        """``"ready"`` while clients are let in, else ``"draining"``."""
        return "draining" if self._is_closing else "ready"

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open."""
        return tuple(broker.connection for broker in self._brokers)

    async def serve_forever(
        self, *, drain: float | None = None, handle_signals: bool = True
    ) -> None:
        """Serve until the server is closed, or SIGINT or SIGTERM comes; then drain and close.

        A second signal closes it at once. SIGHUP reads the certificates again if they are files;
        without such files SIGHUP is not handled here.

        Args:
            drain: seconds for the calls that run when the signal comes; see `close`.
            handle_signals: whether to handle these signals; only possible in the main thread.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
        """
        seconds = self._drain if drain is None else checked_drain(drain)
        handlers: dict[signal.Signals, Callable[[], None]] | None = None
        if handle_signals:
            handlers = {}
            if self._tls is not None and self._tls.files:
                handlers[signal.SIGHUP] = self._hung_up
        await until_told(
            self._closed.wait(),
            lambda: self.close(drain=seconds),
            lambda: self.close(drain=0),
            handlers,
        )

    def reload_certificates(self) -> None:
        """Read the files of certificates and keys again, for new connections.

        Open connections are not affected. Call this to learn at once whether the new files are
        valid: after a change they are also read by themselves, at the next connection.

        Raises:
            ConfigError: the files are not valid; the old certificates stay in use.
        """
        if self._tls is not None:
            self._tls.reload()

    def _hung_up(self) -> None:
        try:
            self.reload_certificates()
        except ConfigError as exc:
            text = "reading certificates again for SIGHUP: ConfigError: %s"
            logger.error(text, printable(text_of_value(exc), 600, is_ascii=False))

    async def close(self, *, drain: float | None = None) -> None:
        """Stop accepting, wait for running calls, and close.

        Clients are told at once (in `msgpack/1`) and make no more calls. A call that comes
        nevertheless is refused with ServerDraining. A connection stays open until its last call has
        ended and the answer has been sent.

        Args:
            drain: seconds to wait for running calls; 0 for no wait, ``math.inf`` for no limit;
                default the argument of `serve`.

        Raises:
            ConfigError: ``drain`` is negative, or not a number.
        """
        seconds = self._drain if drain is None else checked_drain(drain)
        for broker in self._brokers:
            forks.check(broker)
        self._is_closing = True
        logins = self._logins
        is_last = logins is not None and logins.begin_closing(self)
        for listener in self._listeners:
            listener.close()
        self._acceptor.end_arrivals()
        if seconds:
            await drained(self._brokers, seconds)
        closing = close_all(self._brokers, self._policy.close_timeout, LEAVING, at_once=not seconds)
        if logins is not None and is_last:
            await asyncio.gather(closing, logins.close(timeout=self._policy.close_timeout))
        else:
            await closing
        self._acceptor.log_throttle.settle()
        self._closed.set()

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

    def _listen(self, locations: list[Location], tls: TLS | None, web: WebSettings) -> None:
        self._tls = tls
        bound = []
        with ExitStack() as undo:
            for location in locations:
                sockets = scheme_of(location).bind(location)
                bound.append((location, sockets))
                undo.callback(_unbind, location, sockets)
            undo.pop_all()
        self.begin()
        addresses = []
        for location, sockets in bound:
            scheme = scheme_of(location)
            settings = self._settings(tls if scheme.is_tls else None, web)
            self._listeners.append(scheme.accept(location, sockets, self._accept, settings))
            addresses.append(str(scheme.real_address(location, sockets)))
        self.addresses = tuple(addresses)

    def _settings(self, tls: TLS | None, web: WebSettings) -> AcceptSettings:
        policy = self._policy
        return AcceptSettings(
            tls=tls,
            handshake_timeout=policy.handshake_timeout,
            close_timeout=policy.close_timeout,
            log_throttle=self._acceptor.log_throttle,
            arrive=self._acceptor.arrive,
            state=lambda: self.state,
            proxies=web.proxies,
            origins=web.origins,
            max_pings=policy.max_pings,
            ping_after=policy.ping_after,
        )

    def _accept(self, address: Any) -> Broker | None:
        if self._is_closing:
            return None
        broker = Broker(False, policy=self._policy)
        broker.peer.address = address
        if not self._acceptor.receive(broker, self._root.rootObject(broker), address):
            return None
        self._brokers[broker] = None
        self.stats.accepted += 1
        broker.log_throttle.log(logger, logging.INFO, address, "connection from %s", address)
        broker.closed.addCallback(self._forget, broker)
        return broker

    def _forget(self, result: Any, broker: Broker) -> None:
        self._brokers.pop(broker, None)
        self.stats.closed += 1
        address, reason = broker.peer.address, text_of_value(broker.reason, 301)
        broker.log_throttle.log(
            logger, logging.INFO, address, "connection from %s ended: %s", address, reason
        )


class Serve(Opening[Server]):
    """A server to be started: ``await`` it, or use it in ``async with``.

    A Serve that is never awaited causes a RuntimeWarning, as a coroutine does.
    """

    makes = "server"

    def __init__(
        self,
        target: Any,
        locations: list[Location],
        tls: TLS | None,
        policy: Policy,
        drain: float,
        web: WebSettings,
    ):
        self._target = target
        self._web = web
        self._drain = drain
        self._locations = locations
        self._tls = tls
        self._policy = policy
        self._is_awaited = False

    def _call(self) -> str:
        addresses = ", ".join(f"'{location}'" for location in self._locations)
        return f"serve({type(self._target).__name__}, {addresses})"

    def _description(self) -> str:
        return f"of {type(self._target).__name__} at {_listed(self._locations)}"

    async def _open(self) -> Server:
        server = Server(self._target, self._policy, self._drain)
        server._listen(self._locations, self._tls, self._web)
        return server

    async def _close(self, opened: Server, error: BaseException | None) -> None:
        await opened.close(drain=None if error is None else 0)


def serve(
    target: Any,
    *addresses: str,
    tls: TLS | None = None,
    policy: Policy = STRICT,
    drain: float = DRAIN,
    debug: bool = False,
    origins: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    forwarded: str = X_FORWARDED_FOR,
    listen: bool = True,
) -> Serve:
    """Serve an object, or a portal, at one or more addresses.

    Args:
        target: a Root, whose methods every peer may call; or a Portal, which peers log in to; or a
            PortalLogins, whose portal has other front ends too.
        addresses: ``pb://host:port``, or ``pbs://host:port`` for TLS; port 0 takes a free one. Or
            ``ws://host:port/path`` for WebSocket, or ``wss://host:port/path`` with TLS; that needs
            the extra ``ws``. Or ``pb+unix:///path`` for a UNIX socket, which replaces a dead one
            at that path. The default is ``pb://`` at the loopback address, port 8787.
        tls: the certificate of the server, for ``pbs://`` and ``wss://``.
        policy: what is allowed.
        drain: seconds that calls have to end when the server is closed; see `Server.close`.
        debug: send clients the text and the traceback of every exception: the settings
            ``show_all_errors`` and ``unsafe_tracebacks`` of the policy. Only at loopback addresses
            and UNIX sockets, and without ``trusted_proxies``.
        origins: the web pages that may connect by WebSocket, such as ``https://broker.example``;
            a request without an origin is not from a page, and is always taken.
        trusted_proxies: addresses and networks of proxies, such as ``10.0.0.0/8``, and ``unix`` for
            UNIX sockets. Each connection from them must say for whom it is: by a header of HTTP at
            a WebSocket address, and by the PROXY protocol, version 1 or 2, at other addresses.
            Limits then count the real client, and ``peer.address`` is that of the client.
        forwarded: the one header of HTTP that the proxies set: ``X-Forwarded-For`` or
            ``Forwarded``.
        listen: False to listen nowhere: connections come by `Server.attach`.

    Returns:
        An object to ``await``, or to use in ``async with``, for a Server. The end of the block
        closes it when its calls have ended; after an exception at once.

    Raises:
        ConfigError: an address is not understood, or is public and without TLS, or lacks ``tls``;
            or ``debug`` is set and an address is public; or ``drain`` is negative; or a portal has
            no checkers.
        CannotListenError: a port is in use, or the process may not open it.
        TypeError: ``target`` is neither a Root nor a Portal.
        WrongType: a TypeError and a ConfigError: ``target`` is a class, or another argument is of
            the wrong type.
    """
    check_given(policy, tls)
    for name, value in (("debug", debug), ("listen", listen)):
        if not isinstance(value, bool):
            raise WrongType(f"{name}= is True or False, not {type(value).__name__}")
    web = web_settings(origins, trusted_proxies, forwarded)
    default = "pb://127.0.0.1:8787" if tls is None else "pbs://127.0.0.1:8787"
    if not listen and (addresses or tls is not None):
        raise ConfigError("listen=False is for a server without addresses and without tls=")
    defaults = (default,) if listen else ()
    locations = [parse_address(address) for address in addresses or defaults]
    check_target(target)
    for location in locations:
        _check(location, tls, policy)
        if debug:
            _check_debug(location)
    if debug and web.proxies is not None:
        raise ConfigError(
            "debug=True shows tracebacks to every client, so it is not for a server behind"
            " proxies: leave debug or trusted_proxies out"
        )
    if debug:
        policy = policy.but(show_all_errors=True, unsafe_tracebacks=True)
    if tls is not None and not any(scheme_of(location).is_tls for location in locations):
        after = f" pbs:// and wss:// addresses, not {locations[0]}"
        raise fixed_by(ConfigError, "", "no certificate", after)
    return Serve(target, locations, tls, policy, checked_drain(drain), web)


def check_target(target: object) -> None:
    """Check that an object can be served.

    Raises:
        ConfigError: it is a portal without checkers.
        TypeError: it is neither a Root nor a Portal.
    """
    root_of(target)
    portal = target.portal if isinstance(target, PortalLogins) else target
    if isinstance(portal, Portal) and not portal.checkers:
        raise ConfigError(
            "this portal has no checker, so no client can log in: Portal(realm, [checker])"
        )


def _listed(places: Sequence[object]) -> str:
    return ", ".join(str(place) for place in places)


def _check(location: Location, tls: TLS | None, policy: Policy) -> None:
    scheme = scheme_of(location)
    if scheme.is_tls and tls is None:
        before = f"{location} needs a certificate: "
        raise fixed_by(ConfigError, before, "server certificate")
    scheme.check_server(location, policy.insecure_plaintext)


def _check_debug(location: Location) -> None:
    """Refuse ``debug`` on a public address: tracebacks have file names and values."""
    if scheme_of(location).is_public(location):
        raise ConfigError(
            f"debug=True shows tracebacks to every client, so it is not for {location}: listen on"
            " 127.0.0.1, [::1], localhost or pb+unix:///path, or leave debug out"
        )


def _unbind(location: Location, sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
    scheme_of(location).unbind(location)
