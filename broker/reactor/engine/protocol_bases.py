"""Bases of the ends of a connection: protocols, and factories of protocols."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Self

from zope.interface import implementer

from broker.failure import Failure
from broker.net.log_throttle import LogThrottle
from broker.reactor.error import ConnectionDone
from broker.reactor.interfaces import IProtocol, IProtocolFactory

__all__ = [
    "BaseProtocol",
    "ClientFactory",
    "Factory",
    "Protocol",
    "ServerFactory",
    "connectionDone",
]

logger = logging.getLogger("broker.reactor")

connectionDone = Failure(ConnectionDone())
"""The reason of a connection that ended cleanly."""


class BaseProtocol:
    """Base of every protocol: has a transport, and `connectionMade` (published).

    Attributes:
        transport: the connection, from `makeConnection` on.
        connected: true from `makeConnection` on.
    """

    connected: int = 0
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Keep the transport and call `connectionMade` (published)."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """Handle the new connection, which can be written to; for subclasses (published)."""


@implementer(IProtocol)
class Protocol(BaseProtocol):
    """One end of a stream connection; a subclass overrides the methods it needs (published).

    Attributes:
        factory: the factory that built this protocol.
    """

    factory: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Handle incoming bytes, split at any position (published)."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Handle the end of the connection; called once (published).

        The reason's value is ConnectionDone after a clean end, otherwise ConnectionLost or
        ConnectionAborted.
        """

    def logPrefix(self) -> str:
        """Return the name of this protocol in log lines (published)."""
        return type(self).__name__


@implementer(IProtocolFactory)
class Factory:
    """Makes the protocol of each connection (published).

    Attributes:
        protocol: called without arguments for each connection; the result gets `factory` set.
        numPorts: how many ports and connectors use this factory now.
        noisy: whether starting and stopping are logged.
    """

    protocol: Callable[..., Any] | None = None
    numPorts: int = 0
    noisy: bool = True

    @classmethod
    def forProtocol(cls, protocol: Callable[..., Any], *args: object, **kwargs: object) -> Self:
        """Return `cls(*args, **kwargs)` with its `protocol` set (published)."""
        factory = cls(*args, **kwargs)
        factory.protocol = protocol
        return factory

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol for a connection with `addr`, or None to refuse it (published)."""
        if self.protocol is None:
            raise TypeError(f"{type(self).__name__} needs a protocol, or its own buildProtocol")
        protocol = self.protocol()
        protocol.factory = self
        return protocol

    def doStart(self) -> None:
        """Count one more port or connector as a user; the first starts the factory (published)."""
        if not self.numPorts:
            if self.noisy:
                logger.info("Starting factory %r", self)
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """Count one user less; the last one stops the factory (published)."""
        if not self.numPorts:
            return
        self.numPorts -= 1
        if not self.numPorts:
            if self.noisy:
                logger.info("Stopping factory %r", self)
            self.stopFactory()

    def startFactory(self) -> None:
        """Prepare: the first port or connector is about to use this factory (published)."""

    def stopFactory(self) -> None:
        """Clean up: the last port or connector has stopped using this factory (published)."""

    def logPrefix(self) -> str:
        """Return the name of this factory in log lines (published)."""
        return type(self).__name__


class ServerFactory(Factory):
    """A factory for `listenTCP` and similar methods (published).

    Attributes:
        log_throttle: limits the log lines that its ports cause; None for a throttle of each port.
    """

    log_throttle: LogThrottle | None = None


class ClientFactory(Factory):
    """A factory for `connectTCP` and similar; `connector.connect()` tries again (published)."""

    def startedConnecting(self, connector: Any) -> None:
        """Handle the start of an attempt; `connector.stopConnecting()` stops it (published)."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Handle a failed attempt; no protocol was built (published)."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Handle the end of the connection, after the protocol's `connectionLost` (published)."""
