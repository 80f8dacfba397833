"""Endpoints: objects that know an address, and listen or connect later.

They work with any reactor that has the published methods, ours or Twisted's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from zope.interface import implementer

from broker.defer import Deferred, execute, fail
from broker.failure import Failure
from broker.net.transports import StreamProtocol
from broker.reactor import typed
from broker.reactor.engine.connectors import Connector
from broker.reactor.error import ConnectingCancelledError, NoProtocol
from broker.reactor.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from broker.reactor.protocol import ClientFactory, Factory
from broker.reactor.typed import (
    Binding,
    ClientEndpoint,
    ContextFactory,
    ListeningPort,
    NetworkReactor,
    ProtocolFactory,
)

__all__ = [
    "HostnameEndpoint",
    "NoProtocol",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
    "UNIXClientEndpoint",
    "UNIXServerEndpoint",
    "connectProtocol",
    "wrapClientTLS",
]

P = TypeVar("P", bound=StreamProtocol)


@implementer(IStreamServerEndpoint)
class TCP4ServerEndpoint:
    """A TCP port on an IPv4 address; an empty one means every address (published)."""

    def __init__(self, reactor: NetworkReactor, port: int, backlog: int = 50, interface: str = ""):
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: ProtocolFactory) -> Deferred[ListeningPort]:
        """Listen; return a Deferred of the port, which fails with CannotListenError (published)."""
        return execute(
            self._reactor.listenTCP,
            self._port,
            protocolFactory,
            backlog=self._backlog,
            interface=self._interface,
        )


class TCP6ServerEndpoint(TCP4ServerEndpoint):
    """A TCP port on an IPv6 address; ``::`` means every address (published)."""

    def __init__(
        self, reactor: NetworkReactor, port: int, backlog: int = 50, interface: str = "::"
    ):
        super().__init__(reactor, port, backlog, interface)


@implementer(IStreamServerEndpoint)
class SSL4ServerEndpoint:
    """A TCP port with TLS (published)."""

    def __init__(
        self,
        reactor: NetworkReactor,
        port: int,
        sslContextFactory: ContextFactory,
        backlog: int = 50,
        interface: str = "",
    ):
        self._reactor = reactor
        self._port = port
        self._sslContextFactory = sslContextFactory
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: ProtocolFactory) -> Deferred[ListeningPort]:
        """Listen; return a Deferred of the port, which fails with CannotListenError (published)."""
        return execute(
            self._reactor.listenSSL,
            self._port,
            protocolFactory,
            contextFactory=self._sslContextFactory,
            backlog=self._backlog,
            interface=self._interface,
        )


@implementer(IStreamServerEndpoint)
class UNIXServerEndpoint:
    """A UNIX socket to listen at (published)."""

    def __init__(
        self,
        reactor: NetworkReactor,
        address: str,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ):
        self._reactor = reactor
        self._address = address
        self._backlog = backlog
        self._mode = mode
        self._wantPID = wantPID

    def listen(self, protocolFactory: ProtocolFactory) -> Deferred[ListeningPort]:
        """Listen; return a Deferred of the port, which fails with CannotListenError (published)."""
        return execute(
            self._reactor.listenUNIX,
            self._address,
            protocolFactory,
            backlog=self._backlog,
            mode=self._mode,
            wantPID=self._wantPID,
        )


@implementer(IStreamClientEndpoint)
class TCP4ClientEndpoint:
    """A TCP port to connect to (published)."""

    _settings: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        reactor: NetworkReactor,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: Binding = None,
    ):
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bindAddress = (bindAddress, 0) if isinstance(bindAddress, str) else bindAddress

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[Any]:
        """Connect; return a Deferred of the protocol, once it is connected (published).

        It fails with the reason if no connection is made. Cancelling it stops the attempt, and it
        fails with ConnectingCancelledError.
        """
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectTCP(
                self._host,
                self._port,
                factory,
                timeout=self._timeout,
                bindAddress=self._bindAddress,
            ),
            self._settings,
        )

    def connect_secured(
        self, context_factory: ContextFactory, protocolFactory: ProtocolFactory
    ) -> Deferred[Any]:
        """Connect as `connect` does, with TLS."""
        secured = SSL4ClientEndpoint(
            self._reactor,
            self._host,
            self._port,
            context_factory,
            self._timeout,
            self._bindAddress,
        )
        secured._settings = self._settings
        return secured.connect(protocolFactory)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._host}:{self._port}>"


class TCP6ClientEndpoint(TCP4ClientEndpoint):
    """A TCP port of an IPv6 address, or name, to connect to (published)."""


class HostnameEndpoint(TCP4ClientEndpoint):
    """A TCP port of a host to connect to, at the address that answers first (published).

    The next address is tried when an attempt has failed, or has had no answer for `attemptDelay`
    seconds, default 0.25; the first that answers is used. With a reactor of Twisted, its own
    `connectTCP` decides which addresses are tried, and when.
    """

    def __init__(
        self,
        reactor: NetworkReactor,
        host: str | bytes,
        port: int,
        timeout: float | None = 30,
        bindAddress: Binding = None,
        attemptDelay: float | None = None,
    ):
        name = host.decode("ascii") if isinstance(host, bytes) else host
        super().__init__(reactor, name, port, timeout, bindAddress)
        self._settings = {"attempt_delay": attemptDelay}


@implementer(IStreamClientEndpoint)
class SSL4ClientEndpoint:
    """A TCP port to connect to with TLS (published)."""

    _settings: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        reactor: NetworkReactor,
        host: str,
        port: int,
        sslContextFactory: ContextFactory,
        timeout: float | None = 30,
        bindAddress: Binding = None,
    ):
        self._reactor = reactor
        self._host = host
        self._port = port
        self._sslContextFactory = sslContextFactory
        self._timeout = timeout
        self._bindAddress = (bindAddress, 0) if isinstance(bindAddress, str) else bindAddress

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[Any]:
        """Connect as TCP4ClientEndpoint does; the protocol is connected before TLS is (published).

        Writes of the protocol are kept until the peer is accepted.
        """
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectSSL(
                self._host,
                self._port,
                factory,
                self._sslContextFactory,
                timeout=self._timeout,
                bindAddress=self._bindAddress,
            ),
            self._settings,
        )


@implementer(IStreamClientEndpoint)
class UNIXClientEndpoint:
    """A UNIX socket to connect to (published)."""

    def __init__(
        self, reactor: NetworkReactor, path: str, timeout: float | None = 30, checkPID: int = 0
    ):
        self._reactor = reactor
        self._path = path
        self._timeout = timeout
        self._checkPID = checkPID

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[Any]:
        """Connect as TCP4ClientEndpoint does (published)."""
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectUNIX(
                self._path, factory, timeout=self._timeout, checkPID=self._checkPID
            ),
        )


@implementer(IStreamClientEndpoint)
class SecuredEndpoint:
    """A client endpoint of this module, with TLS over it."""

    def __init__(self, endpoint: TCP4ClientEndpoint, context_factory: ContextFactory):
        self._endpoint = endpoint
        self._context_factory = context_factory

    def connect(self, protocolFactory: ProtocolFactory) -> Deferred[Any]:
        """Connect as SSL4ClientEndpoint does."""
        return self._endpoint.connect_secured(self._context_factory, protocolFactory)


def wrapClientTLS(
    connectionCreator: ContextFactory, wrappedEndpoint: ClientEndpoint, clock: object = None
) -> SecuredEndpoint:
    """Return an endpoint that connects with TLS over `wrappedEndpoint` (published).

    Args:
        connectionCreator: a result of `optionsForClientTLS`, or a context factory.
        wrappedEndpoint: one of the TCP endpoints of this module.
        clock: has no effect.

    Raises:
        TypeError: the endpoint is of another kind.
    """
    if not isinstance(wrappedEndpoint, TCP4ClientEndpoint):
        raise TypeError(f"TLS goes over a TCP endpoint, not over {wrappedEndpoint!r}")
    return SecuredEndpoint(wrappedEndpoint, connectionCreator)


def connectProtocol(endpoint: ClientEndpoint, protocol: P) -> Deferred[P]:
    """Connect one protocol to an endpoint; return a Deferred of it (published)."""
    factory = Factory()
    factory.noisy = False
    factory.protocol = lambda: protocol
    return endpoint.connect(factory)


def _connect(
    factory: ProtocolFactory,
    connect: Callable[[ClientFactory], typed.Connector],
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Deferred[Any]:
    connecting = _Connecting(factory)
    try:
        connecting.connector = connector = connect(connecting)
        if isinstance(connector, Connector):
            # Read when the attempt begins, in a later turn of the loop.
            for name, value in settings.items():
                setattr(connector, name, value)
    except Exception:  # noqa: BLE001 - the Deferred fails with it
        return fail()
    return connecting.connected


class _Connecting(ClientFactory):
    """Wraps a factory, and fires a Deferred when its one connection is made or fails."""

    noisy = False

    def __init__(self, factory: ProtocolFactory):
        self._factory = factory
        self.connector: Any = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: object) -> _Announced | None:
        try:
            protocol = self._factory.buildProtocol(addr)
        except Exception:  # noqa: BLE001 - the Deferred fails with it
            self._fail(Failure())
            return None
        if protocol is None:
            self._fail(Failure(NoProtocol()))
            return None
        return _Announced(protocol, self.connected)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._fail(reason)

    def _fail(self, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def _cancel(self, connected: Deferred[object]) -> None:
        connected.errback(ConnectingCancelledError(self.connector.getDestination()))
        self.connector.stopConnecting()


class _Announced:
    """Wraps a protocol, and fires a Deferred when it has its transport."""

    def __init__(self, protocol: StreamProtocol, connected: Deferred[Any]):
        self._protocol = protocol
        self._connected = connected

    def makeConnection(self, transport: object) -> None:
        self._protocol.makeConnection(transport)
        if not self._connected.called:
            self._connected.callback(self._protocol)

    def dataReceived(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        self._protocol.connectionLost(reason)
