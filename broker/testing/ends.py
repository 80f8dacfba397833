"""The two ends of a connection in memory: the library's own server and client on a `Wire`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

from broker.client import Connect
from broker.connecting import Connecting
from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.policy import Policy
from broker.login.client import Login
from broker.replies import Replies
from broker.running_server import Server
from broker.testing.login import AS_USER, TABLE

__all__ = ["AsyncioEnds", "Ends", "MemoryConnect", "MemoryServer", "Reach"]

Reach: TypeAlias = Callable[[Broker], Awaitable[None]]
"""Connects a Broker to the server in memory."""

_ADDRESS = "pb://127.0.0.1:8787"


class MemoryServer(Server):
    """A server that accepts connections in memory.

    Args:
        target: the root of the server, or its portal.
        policy: what is allowed.
        accepted: called with the Broker of each connection.
        replies: see `broker.serve`.
    """

    def __init__(
        self,
        target: Any,
        policy: Policy,
        accepted: Callable[[Broker], object],
        replies: Replies | None = None,
    ):
        super().__init__(target, policy, replies=replies)
        self._accepted = accepted

    @property
    def is_closing(self) -> bool:
        """Whether the server accepts no more connections."""
        return self._is_closing

    def accept(self, address: object) -> Broker | None:
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
        reach: Reach,
        credentials: object,
        mind: object,
        policy: Policy,
    ):
        super().__init__(_ADDRESS, credentials, mind=mind, tls=None, policy=policy, timeout=10.0)
        self._reach_in_memory = reach

    async def _reach(self, broker: Broker, connecting: Connecting) -> None:
        await self._reach_in_memory(broker)


class Ends(Protocol):
    """Both ends of a pair, in one of the faces of this library."""

    def accept(self, address: object, /) -> Broker | None:
        """Return the server's Broker, or None if the connection is refused."""
        ...

    async def connect(self, reach: Reach, /) -> Connection:
        """Connect the client, and log in if there are credentials."""
        ...

    async def close(self) -> None:
        """Close the server's end at once."""
        ...


class AsyncioEnds:
    """The ends of `broker.serve` and `broker.connect`.

    Args:
        target: the root of the server, or its portal.
        policy: what is allowed, at both ends.
        credentials, mind: of the login, or None.
        accepted: called with the server's end.
    """

    def __init__(
        self,
        target: object,
        policy: Policy,
        credentials: object,
        mind: object,
        accepted: Callable[[Broker], object],
    ):
        self._server = MemoryServer(target, policy, accepted)
        self._policy = policy
        self._credentials = credentials
        self._mind = mind

    def accept(self, address: object) -> Broker | None:
        """Return the server's Broker, or None if the connection is refused."""
        return self._server.accept(address)

    async def connect(self, reach: Reach) -> Connection:
        """Connect the client, and log in if there are credentials."""
        is_for_test = self._credentials is AS_USER
        credentials = None if is_for_test else self._credentials
        connect = MemoryConnect(reach, credentials, self._mind, self._policy)
        if is_for_test:
            connect._login = Login(AS_USER, self._mind, TABLE)
        return await connect

    async def close(self) -> None:
        """Close the server's end at once."""
        await self._server.close(drain=0)
