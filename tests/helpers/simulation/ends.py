"""The two ends of a simulated connection: the library's own, over the network in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from broker.client import Connect
from broker.connection.broker import Broker
from broker.core.policy import Policy
from broker.server import Server

__all__ = ["FIRST_PORT", "SimulatedConnect", "SimulatedServer"]

FIRST_PORT = 40_000
"""The client of connection 0 connects from here; the others from the ports above."""


class SimulatedServer(Server):
    """A server that accepts what the network brings.

    Args:
        accepted: called with each Broker.
    """

    def __init__(self, target: Any, policy: Policy, accepted: Callable[[Broker], object]):
        super().__init__(target, policy)
        self._accepted = accepted

    def accept(self, address: Any) -> Broker | None:
        """Return the Broker of a new connection, or None while the server closes."""
        end = self._accept(address)
        if end is not None:
            self._accepted(end)
        return end


class SimulatedConnect(Connect):
    """A connection that is to be made over the network in memory.

    Args:
        reach: connects a Broker.
    """

    def __init__(
        self,
        reach: Callable[[Broker], Awaitable[None]],
        credentials: Any,
        mind: Any,
        policy: Policy,
    ):
        super().__init__(
            "pb://127.0.0.1:8787", credentials, mind=mind, tls=None, policy=policy, timeout=10.0
        )
        self._reach_by_network = reach

    async def _reach(self, broker: Broker) -> None:
        await self._reach_by_network(broker)
