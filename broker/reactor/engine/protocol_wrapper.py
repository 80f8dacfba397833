"""A wrapper between a transport and its protocol; its owner is told of the end after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.failure import Failure
from broker.net.transports import StreamProtocol

__all__ = ["ProtocolWrapper"]


class ProtocolWrapper:
    """Passes calls of the transport on, and calls `when_lost(self, reason)` at the end.

    Attributes:
        transport: the connection, from `makeConnection` on.
    """

    def __init__(
        self, protocol: StreamProtocol, when_lost: Callable[[ProtocolWrapper, Failure], object]
    ):
        self._protocol = protocol
        self._when_lost = when_lost
        self.transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Give the transport to the protocol."""
        self.transport = transport
        self._protocol.makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Give the bytes to the protocol."""
        self._protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Tell the protocol, then the owner of this connection, also when the protocol raises."""
        try:
            self._protocol.connectionLost(reason)
        finally:
            self._when_lost(self, reason)

    def abandon(self) -> None:
        """Cut the connection; unsent bytes are lost."""
        self.transport.abortConnection()
