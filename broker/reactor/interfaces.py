"""Published interfaces of what programs write and get: `implementer` and `providedBy` know them."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

__all__ = [
    "IConsumer",
    "IProducer",
    "IProtocol",
    "IProtocolFactory",
    "IPullProducer",
    "IPushProducer",
    "IStreamClientEndpoint",
    "IStreamServerEndpoint",
    "ITransport",
]


class IProducer(Interface):  # type: ignore[misc]
    """What fills a consumer."""

    def stopProducing() -> None:  # type: ignore[misc]
        """Stop for good: the consumer has gone."""


class IPushProducer(IProducer):
    """A producer that writes by itself, and can be told to wait (`streaming` true)."""

    def pauseProducing() -> None:  # type: ignore[misc]
        """Write nothing until `resumeProducing`."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Go on writing."""


class IPullProducer(IProducer):
    """A producer that writes once each time it is asked (`streaming` false)."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Write once."""


class IConsumer(Interface):  # type: ignore[misc]
    """What a producer fills; every transport is one."""

    def registerProducer(producer: Any, streaming: bool) -> None:
        """Take a producer; RuntimeError where there is one already."""

    def unregisterProducer() -> None:  # type: ignore[misc]
        """Forget the producer."""

    def write(data: bytes) -> None:
        """Take what it has made."""


class ITransport(Interface):  # type: ignore[misc]
    """A connection, as its protocol sees it."""

    def write(data: bytes) -> None:
        """Send after what was written before."""

    def writeSequence(data: Any) -> None:
        """Send the pieces, in one piece."""

    def loseConnection() -> None:  # type: ignore[misc]
        """Close once all is sent."""

    def getPeer() -> Any:  # type: ignore[misc]
        """Return the address of the other end."""

    def getHost() -> Any:  # type: ignore[misc]
        """Return the address of this end."""


class IProtocol(Interface):  # type: ignore[misc]
    """One end of a stream connection."""

    def makeConnection(transport: Any) -> None:
        """Take the transport, and call `connectionMade`."""

    def connectionMade() -> None:  # type: ignore[misc]
        """The connection is there."""

    def dataReceived(data: bytes) -> None:
        """Bytes have come in, cut anywhere."""

    def connectionLost(reason: Any) -> None:
        """The connection has ended: `reason` is a Failure."""


class IProtocolFactory(Interface):  # type: ignore[misc]
    """What makes the protocol of each connection."""

    def buildProtocol(addr: Any) -> Any:
        """Return a protocol, or None to refuse the connection."""

    def doStart() -> None:  # type: ignore[misc]
        """One more port or connector uses this factory."""

    def doStop() -> None:  # type: ignore[misc]
        """One port or connector less uses this factory."""


class IStreamClientEndpoint(Interface):  # type: ignore[misc]
    """A place to connect to."""

    def connect(protocolFactory: Any) -> Any:
        """Return a Deferred of the protocol, once it is connected."""


class IStreamServerEndpoint(Interface):  # type: ignore[misc]
    """A place to listen at."""

    def listen(protocolFactory: Any) -> Any:
        """Return a Deferred of the port."""
