"""An Attendant goes between a transport and its protocol, to hear of the end after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.failure import Failure

__all__ = ["ProtocolWrapper"]


class ProtocolWrapper:
    """Hands on what the transport says, and calls `when_lost(self, reason)` at the end.

    Attributes:
        transport: the connection, from `makeConnection` on.
    """

    def __init__(self, protocol: Any, when_lost: Callable[[ProtocolWrapper, Failure], object]):
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
        """Tell the protocol, then whoever made this connection, also when the protocol raises."""
        try:
            self._protocol.connectionLost(reason)
        finally:
            self._when_lost(self, reason)

    def abandon(self) -> None:
        """Cut the connection; what is unsent is lost."""
        self.transport.abortConnection()
