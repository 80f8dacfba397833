"""Endpoints of WebSockets, which carry the bytes of a protocol such as PB.

They have no counterpart in Twisted. They need a reactor of this library, and the extra ``ws``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from broker.defer import Deferred, execute
from broker.errors import ConfigError
from broker.net.filters import Filter
from broker.net.locations import WebPlace, web_place
from broker.net.web_scheme import check_web
from broker.reactor.endpoints.classes import TCP4ClientEndpoint
from broker.reactor.engine.ports import Port
from broker.reactor.engine.reactor import Reactor
from broker.reactor.interfaces import IStreamServerEndpoint
from broker.reactor.typed import (
    Binding,
    ContextFactory,
    ListeningPort,
    NetworkReactor,
    ProtocolFactory,
)

__all__ = ["WebSocketClientEndpoint", "WebSocketServerEndpoint"]


class WebSocketClientEndpoint(TCP4ClientEndpoint):
    """A WebSocket of a server to connect to.

    As with TLS, the protocol is connected before the handshake is done: what it writes is kept
    until then. If the server answers with something else, the protocol's ``connectionLost`` has the
    reason.

    Args:
        reactor: of this library, such as ``broker.reactor``.
        host: the name or numeric address of the server.
        port: its TCP port.
        path: the path of the WebSocket.
        timeout: seconds until TCP is connected, or None.
        bindAddress: this end's address, or (address, port).
        sslContextFactory: for TLS, a result of `optionsForClientTLS`; None without TLS.

    Raises:
        ConfigError: a ValueError: the path is not valid, or the extra ``ws`` is missing.
        TypeError: the reactor is of another library.
    """

    def __init__(
        self,
        reactor: NetworkReactor,
        host: str,
        port: int,
        path: str = "/",
        timeout: float | None = 30,
        bindAddress: Binding = None,
        sslContextFactory: ContextFactory | None = None,
    ):
        super().__init__(_ours(reactor), host, port, timeout, bindAddress)
        self._context_factory = sslContextFactory
        place = _place(host, port, path, sslContextFactory)
        self._settings = {"upper": lambda: _client_filter(place)}

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[Any]:
        """Connect as TCP4ClientEndpoint does."""
        if self._context_factory is None:
            return super().connect(protocolFactory)
        return self.connect_secured(self._context_factory, protocolFactory)


@implementer(IStreamServerEndpoint)
class WebSocketServerEndpoint:
    """A TCP port that takes WebSockets at one path.

    It also has the few pages of the WebSocket port of ``broker.serve``, such as ``/broker.js``. A
    request has 10 seconds to arrive.

    Args:
        reactor: of this library, such as ``broker.reactor``.
        port: the TCP port; 0 is any free port.
        path: the path of the WebSocket; another one is answered with 404.
        origins: the origins whose pages may connect, such as ``https://broker.example``.
        backlog: how many connections the kernel queues until they are accepted.
        interface: the address to listen at; empty for every IPv4 address.
        sslContextFactory: for TLS, such as CertificateOptions; None without TLS.

    Raises:
        ConfigError: a ValueError: the path or an origin is not valid, or the extra ``ws`` is
            missing.
        TypeError: the reactor is of another library.
    """

    def __init__(
        self,
        reactor: NetworkReactor,
        port: int,
        path: str = "/",
        origins: Iterable[str] = (),
        backlog: int = 50,
        interface: str = "",
        sslContextFactory: ContextFactory | None = None,
    ):
        self._reactor = _ours(reactor)
        self._port = port
        self._backlog = backlog
        self._interface = interface
        self._context_factory = sslContextFactory
        place = _place(interface or "0.0.0.0", port, path, sslContextFactory)  # noqa: S104
        self._upper = _server_filters(place, origins)

    def listen(self, protocolFactory: ProtocolFactory) -> Deferred[ListeningPort]:
        """Listen; return a Deferred of the port, which fails with CannotListenError."""
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: ProtocolFactory) -> ListeningPort:
        port = Port(
            self._reactor,
            factory,
            self._port,
            self._interface,
            self._backlog,
            self._context_factory,
            self._upper,
        )
        port.startListening()
        return port


def _ours(reactor: NetworkReactor) -> Reactor:
    """Return the reactor of this library that a reactor, or the module ``broker.reactor``, is."""
    found = getattr(reactor.connectTCP, "__self__", None)
    if not isinstance(found, Reactor):
        raise TypeError("a WebSocket needs a reactor of this library, such as broker.reactor")
    return found


def _place(host: str, port: int, path: str, tls: ContextFactory | None) -> WebPlace:
    if not path.startswith("/"):
        raise ConfigError(f"path {path!r} does not begin with a slash")
    name = f"[{host}]" if ":" in host else host
    scheme = "ws" if tls is None else "wss"
    checked = web_place(f"{scheme}://{name}{path}")
    check_web(checked)
    return WebPlace(host, port, checked.path, checked.is_tls)


# The extra may be missing: what needs it is imported in these functions.


def _client_filter(place: WebPlace) -> Filter:
    from broker.net.websocket.client import ClientFilter
    from broker.net.websocket.filter import PingLimit

    return ClientFilter(place, PingLimit(40, 20.0))


def _server_filters(place: WebPlace, origins: Iterable[str]) -> Callable[[], Filter]:
    from broker.net.websocket.door import Door
    from broker.net.websocket.filter import PingLimit
    from broker.net.websocket.origins import checked_origins
    from broker.net.websocket.server import ServerFilter

    door = Door(
        path=place.path,
        host=place.host,
        is_tls=place.is_tls,
        origins=checked_origins(origins),
        proxies=None,
        # The reactor does not limit how many connections wait for a handshake.
        arrive=lambda address, cut: lambda: None,
        state=lambda: "ready",
        pings=PingLimit(40, 20.0),
    )
    return lambda: ServerFilter(door)
