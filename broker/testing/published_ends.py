"""The two ends of a pair in the published face: a PBClientFactory and a PBServerFactory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from broker.connection.broker import Broker
from broker.connection.connection import Connection
from broker.core.policy import Policy
from broker.failure import Failure
from broker.login.client import Login
from broker.pb import PBClientFactory, PBServerFactory
from broker.testing.ends import Reach
from broker.testing.login import AS_USER, TABLE
from jelly import globalSecurity

__all__ = ["PublishedEnds"]


class PublishedEnds:
    """The ends of ``reactor.listenTCP`` and ``reactor.connectTCP``.

    Args:
        target: a root, a portal, or a PBServerFactory.
        policy: what is allowed, at both ends.
        credentials, mind: of the login, or None.
        accepted: called with the server's end.

    Attributes:
        server_factory, client_factory: the factories. The client's is told of the end of the
            connection, with None as the connector.
    """

    def __init__(
        self,
        target: object,
        policy: Policy,
        credentials: object,
        mind: object,
        accepted: Callable[[Broker], object],
    ):
        is_factory = isinstance(target, PBServerFactory)
        self.server_factory: Any = target if is_factory else PBServerFactory(target)
        self.client_factory = PBClientFactory()
        self._policy = policy
        self._credentials = credentials
        self._mind = mind
        self._accepted = accepted
        self._ends: list[Broker] = []

    def accept(self, address: object) -> Broker | None:
        """Return the server's Broker, or None if the connection is refused."""
        end = self._build(self.server_factory, address)
        if end is not None:
            self._accepted(end)
        return end

    async def connect(self, reach: Reach) -> Connection:
        """Connect the client, and log in if there are credentials."""
        for factory in (self.server_factory, self.client_factory):
            factory.doStart()
        factory = self.client_factory
        end = self._build(factory, None)
        if end is None:
            raise RuntimeError("the client's factory has made no protocol")
        await reach(end)
        end.closed.addCallback(lambda _: factory.clientConnectionLost(None, Failure(end.reason)))
        await factory.getRootObject()
        if self._credentials is AS_USER:
            end.avatar = await Login(AS_USER, self._mind, TABLE).begin(end)
        elif self._credentials is not None:
            end.avatar = await factory.login(self._credentials, self._mind)
        return end.connection

    async def close(self) -> None:
        """Close the server's end at once."""
        open_ends = [end for end in self._ends if not end.disconnected]
        for end in open_ends:
            end.port.abortConnection()
        for end in self._ends:
            while not end.disconnected:
                await asyncio.sleep(0)
        self._ends.clear()
        for factory in (self.server_factory, self.client_factory):
            if factory.numPorts:
                factory.doStop()

    def _build(self, factory: Any, address: object) -> Broker | None:
        """Return the Broker that a factory makes, with the dialect of the pair."""
        before = factory.protocol
        factory.protocol = partial(_made, before, self._policy)
        try:
            end: Broker | None = factory.buildProtocol(address)
        finally:
            factory.protocol = before
        if end is not None:
            self._ends.append(end)
        return end


def _made(protocol: Callable[..., Broker], policy: Policy, **options: Any) -> Broker:
    """Return a Broker of the protocol of a factory, with the policy of a pair."""
    security = options.pop("security", globalSecurity)
    if security is not globalSecurity:
        policy = policy.but(security=security)
    return protocol(policy=policy, **options)
