"""What a program subclasses to be an end of a connection: protocols, and factories of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Self

from zope.interface import implementer

from broker.failure import Failure
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
    """What every protocol has: a transport, and the news that it is there (published).

    Attributes:
        transport: the connection, from `makeConnection` on.
        connected: true from `makeConnection` on.
    """

    connected: int = 0
    transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and call `connectionMade` (published)."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The connection is there, and can be written to; a subclass overrides this (published)."""


@implementer(IProtocol)
class Protocol(BaseProtocol):
    """One end of one stream connection; a subclass overrides what it needs (published).

    Attributes:
        factory: what built this protocol.
    """

    factory: Any = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come in, cut anywhere (published)."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection has ended; called once (published).

        The reason's value is ConnectionDone after a clean end, ConnectionLost or
        ConnectionAborted after any other.
        """

    def logPrefix(self) -> str:
        """Return how log lines call this protocol (published)."""
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
    def forProtocol(cls, protocol: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """Return `cls(*args, **kwargs)` with `protocol` as what it builds (published)."""
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
        """One more port or connector uses this factory; the first starts it (published)."""
        if not self.numPorts:
            if self.noisy:
                logger.info("Starting factory %r", self)
            self.startFactory()
        self.numPorts += 1

    def doStop(self) -> None:
        """One port or connector less uses this factory; the last stops it (published)."""
        if not self.numPorts:
            return
        self.numPorts -= 1
        if not self.numPorts:
            if self.noisy:
                logger.info("Stopping factory %r", self)
            self.stopFactory()

    def startFactory(self) -> None:
        """The first port or connector is about to use this factory (published)."""

    def stopFactory(self) -> None:
        """The last port or connector has stopped using this factory (published)."""

    def logPrefix(self) -> str:
        """Return how log lines call this factory (published)."""
        return type(self).__name__


class ServerFactory(Factory):
    """A factory for `listenTCP` and its kin (published)."""


class ClientFactory(Factory):
    """A factory for `connectTCP` and its kin; `connector.connect()` tries again (published)."""

    def startedConnecting(self, connector: Any) -> None:
        """An attempt has begun; `connector.stopConnecting()` gives it up (published)."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """The attempt has failed; no protocol was built (published)."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The connection has ended; its protocol's `connectionLost` has been called (published)."""
