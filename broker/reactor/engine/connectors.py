"""A connector makes connections to one address, one after the other, on request."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from broker.errors import ConnectionLost
from broker.failure import Failure
from broker.net.filters import Filter
from broker.net.proxies.settings import Proxy
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address
from broker.net.sockets import connect_stream
from broker.net.transports import MakeProtocol, StreamProtocol
from broker.reactor.engine.protocol_wrapper import ProtocolWrapper
from broker.reactor.error import NotConnectingError, ServiceNameUnknownError, UserError
from broker.reactor.ssl import filters_maker, with_upper
from broker.reactor.typed import ConnectingFactory, ContextFactory
from broker.traces import log_error

if TYPE_CHECKING:
    from broker.reactor.engine.mainloop import Mainloop

__all__ = ["Connector", "StreamConnector"]

logger = logging.getLogger("broker.reactor")


class StreamConnector:
    """The client's end of a connection: before, during and after it.

    Attributes:
        state: ``"disconnected"``, ``"connecting"`` or ``"connected"``.
        factory: makes the protocol, and is told of success and failure.
        timeout: seconds that an attempt may take, or None.
    """

    def __init__(self, reactor: Mainloop, factory: ConnectingFactory, timeout: float | None):
        self.reactor = reactor
        self.factory = factory
        self.timeout = timeout
        self.state: Literal["disconnected", "connecting", "connected"] = "disconnected"
        self._is_factory_started = False
        self._attempt: _Attempt | None = None

    async def open(self, make_protocol: MakeProtocol, timeout: float | None) -> None:
        """Make a connection, or raise the error; a subclass knows the address."""
        raise NotImplementedError

    def getDestination(self) -> Address:
        """Return the address to connect to, as it was given (published)."""
        raise NotImplementedError

    @property
    def transport(self) -> Any:
        """The connection, or None if there is no connection (published)."""
        return self._attempt.transport if self._attempt is not None else None

    def connect(self) -> None:
        """Begin to connect; `connectTCP` calls this itself (published).

        Raises:
            RuntimeError: it is connecting, or connected.
        """
        if self.state != "disconnected":
            raise RuntimeError(f"cannot connect: the connector is {self.state}")
        self.state = "connecting"
        if not self._is_factory_started:
            self._is_factory_started = True
            self.factory.doStart()
        self._attempt = attempt = _Attempt(self)
        self.reactor.with_loop(attempt.start)
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """Stop the attempt; it fails with UserError before this returns (published).

        Raises:
            NotConnectingError: there is no attempt, or it has become a connection.
        """
        if self._attempt is None or self.state != "connecting":
            raise NotConnectingError(f"the connector is {self.state}, not connecting")
        self._attempt.fail(UserError())

    def disconnect(self) -> None:
        """Stop the attempt, or close the connection once all bytes are sent (published)."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.state == "connected":
            self.transport.loseConnection()

    def connected(self, addr: Address) -> StreamProtocol:
        """Return the protocol for a new connection to `addr`."""
        self.state = "connected"
        protocol = self.factory.buildProtocol(addr)
        return _Refused() if protocol is None else protocol

    def failed(self, exc: Exception) -> None:
        """Tell the factory that the attempt has failed."""
        self._ended()
        self.factory.clientConnectionFailed(self, Failure(exc))
        self._stop_factory()

    def lost(self, reason: Failure) -> None:
        """Tell the factory that the connection has ended."""
        self._ended()
        self.factory.clientConnectionLost(self, reason)
        self._stop_factory()

    def _ended(self) -> None:
        # Before the factory is told: it may connect again at once.
        self.state = "disconnected"
        self._attempt = None

    def _stop_factory(self) -> None:
        if self.state == "disconnected" and self._is_factory_started:
            self._is_factory_started = False
            self.factory.doStop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.getDestination()}: {self.state}>"


class Connector(StreamConnector):
    """The result of `connectTCP` and `connectSSL` (published).

    Attributes:
        host, port, timeout, bindAddress: as given to `connectTCP`.
        attempt_delay: seconds without an answer after which the host's next address is tried too;
            None for 0.25.
        proxy: connects to the host; None to connect without a proxy.
        upper: makes the filter above TLS, or above TCP, such as that of a WebSocket; or None.
    """

    def __init__(
        self,
        reactor: Mainloop,
        host: str,
        port: int | str,
        factory: ConnectingFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
        contextFactory: ContextFactory | None = None,
    ):
        super().__init__(reactor, factory, timeout)
        self.host = host
        self.port = _port_number(port)
        self.bindAddress = (bindAddress, 0) if isinstance(bindAddress, str) else bindAddress
        self.attempt_delay: float | None = None
        self.proxy: Proxy | None = None
        self.upper: Callable[[], Filter] | None = None
        self._make_filters = filters_maker(contextFactory, is_server=False)

    async def open(self, make_protocol: MakeProtocol, timeout: float | None) -> None:
        """Connect to the host."""
        await connect_stream(
            make_protocol,
            self.host,
            self.port,
            make_filters=with_upper(self._make_filters, self.upper),
            timeout=timeout,
            local_address=self.bindAddress,
            attempt_delay=self.attempt_delay,
            proxy=self.proxy,
        )

    def getDestination(self) -> Address:
        """Return the address to connect to, with the host as it was given (published)."""
        kind = IPv6Address if ":" in self.host else IPv4Address
        return kind("TCP", self.host, self.port)


class _Attempt:
    """One attempt of a connector, and the connection that it becomes.

    It ends with `Connector.failed` or `Connector.lost`, once.
    """

    def __init__(self, connector: StreamConnector):
        self._connector = connector
        self._task: asyncio.Task[None] | None = None
        self._wrapper: ProtocolWrapper | None = None
        self._is_over = False

    @property
    def transport(self) -> Any:
        return self._wrapper.transport if self._wrapper is not None else None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_over:
            self._connector.reactor.hold(self)
            self._task = loop.create_task(self._run())

    def fail(self, exc: Exception) -> None:
        if self._task is not None:
            self._task.cancel()
        self._end()
        self._connector.failed(exc)

    def abandon(self) -> None:
        if self._wrapper is not None:
            self._wrapper.abandon()
        else:
            self.fail(ConnectionLost("the reactor was stopped"))

    async def _run(self) -> None:
        connector = self._connector
        try:
            await connector.open(self._build, connector.timeout)
        except Exception as exc:  # noqa: BLE001 - any error is passed to the factory
            # With a protocol, the end is reported by its connectionLost.
            if self._wrapper is None and not self._is_over:
                self._tell_failed(exc)

    def _tell_failed(self, exc: Exception) -> None:
        self._end()
        try:
            self._connector.failed(exc)
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, "clientConnectionFailed raised", exc)

    def _build(self, addr: Address) -> ProtocolWrapper | None:
        if self._is_over:
            return None
        self._wrapper = ProtocolWrapper(self._connector.connected(addr), self._lost)
        return self._wrapper

    def _lost(self, wrapper: ProtocolWrapper, reason: Failure) -> None:
        self._end()
        self._connector.lost(reason)

    def _end(self) -> None:
        self._is_over = True
        self._connector.reactor.release(self)


class _Refused:
    """Closes a connection for which the factory has returned no protocol."""

    def makeConnection(self, transport: Any) -> None:
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Do nothing: no data is delivered after `loseConnection`."""

    def connectionLost(self, reason: Failure) -> None:
        """Tell the factory."""


def _port_number(port: int | str) -> int:
    if not isinstance(port, str):
        return port
    try:
        return socket.getservbyname(port, "tcp")
    except OSError as exc:
        raise ServiceNameUnknownError(None, f"no service is called {port!r}: {exc}") from exc
