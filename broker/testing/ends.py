"""The two ends of a connection in memory: the library's own server and client on a `Wire`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from broker.client import Connect
from broker.connection.broker import Broker
from broker.core.policy import Policy
from broker.server import Server

__all__ = ["MemoryConnect", "MemoryServer"]

_ADDRESS = "pb://127.0.0.1:8787"


class MemoryServer(Server):
    """A server that accepts connections in memory.

    Args:
        target: the root of the server, or its portal.
        policy: what is allowed.
        accepted: called with the Broker of each connection.
    """

    def __init__(self, target: Any, policy: Policy, accepted: Callable[[Broker], object]):
        super().__init__(target, policy)
        self._accepted = accepted

    @property
    def is_closing(self) -> bool:
        """Whether the server accepts no more connections."""
        return self._is_closing

    def accept(self, address: Any) -> Broker | None:
        """Return the Broker of a new connection, or None while the server closes."""
        end = self._accept(address)
        if end is not None:
            self._accepted(end)
        return end


class MemoryConnect(Connect):
    """A connection that is to be made in memory.

    Args:
        reach: connects a Broker.
        credentials, mind: of the login, or None.
        policy: what is allowed. Only its timers limit the time of the handshake.
    """

    def __init__(
        self,
        reach: Callable[[Broker], Awaitable[None]],
        credentials: Any,
        mind: Any,
        policy: Policy,
    ):
        super().__init__(_ADDRESS, credentials, mind=mind, tls=None, policy=policy, timeout=10.0)
        self._reach_in_memory = reach

    async def _reach(self, broker: Broker) -> None:
        await self._reach_in_memory(broker)
