"""A server in memory that keeps replies, and clients that come to it again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import broker
from broker.connection.broker import Broker
from broker.core.policy import STRICT, Policy
from broker.core.wire.terms import Terms
from broker.net.transports import StreamTransport
from broker.once_calls import OnceKeys, call_with_meta, peer_terms, why_not_again
from broker.testing.ends import MemoryConnect, MemoryServer
from broker.testing.flow import Profile
from broker.testing.network import Wire, network_loop

__all__ = ["Caller", "House", "ended", "house"]


class House:
    """A server in memory.

    Attributes:
        server: the server.
        wire: the network of the last connection.
        carried: bytes of the last connection that was closed in good order.
    """

    def __init__(self, target: Any, replies: broker.Replies | None, policy: Policy):
        self.policy = policy
        self.ends: list[Broker] = []
        self.server = MemoryServer(target, policy, self.ends.append, replies)
        self.wire: Wire
        self.carried = 0

    @property
    def kept(self) -> Any:
        """The replies of the server."""
        return self.server._replies

    @asynccontextmanager
    async def connected(
        self, cut: int | None = None, credentials: object = None
    ) -> AsyncIterator[broker.Connection]:
        """Connect a client; its connection is cut after so many bytes."""

        async def reach(end: Broker) -> None:
            loop = asyncio.get_running_loop()
            makers = (
                lambda: StreamTransport(lambda address: end, loop),
                lambda: StreamTransport(self.server.accept, loop),
            )
            network = network_loop(loop)
            names = ("client", "server")
            wire = Wire(network, random.Random(0), Profile(), names, makers, 40_000)
            self.wire = wire
            if cut is not None:
                wire.cut_after(cut)
            wire.begin()

        connection = await MemoryConnect(reach, credentials, None, self.policy)
        wire = self.wire
        try:
            yield connection
        finally:
            self.carried = wire.carried
            wire.cut()
            await connection.wait_closed()

    async def close(self) -> None:
        """Close the server at once."""
        await self.server.close(drain=0)


@asynccontextmanager
async def house(
    target: Any, replies: broker.Replies | None = None, policy: Policy = STRICT
) -> AsyncIterator[House]:
    """A server in memory; by default it keeps replies with the default limits."""
    made = House(target, broker.Replies() if replies is None else replies, policy)
    try:
        yield made
    finally:
        await made.close()


async def ended(call: Any) -> None:
    """Wait until a call has ended, in whatever way."""
    event = asyncio.Event()
    call.addBoth(lambda result: event.set() or result)
    await event.wait()


class Caller:
    """Stands for a Link: repeats a call with the same key on a new connection, until it ends.

    Args:
        house: the server.
        credentials: of the login, or None.
    """

    def __init__(self, house: House, credentials: object = None):
        self.house = house
        self.keys = OnceKeys()
        self._credentials = credentials

    async def call(
        self, name: str, *args: object, cuts: Iterable[int | None] = (None,), during: Any = None
    ) -> Any:
        """Call a method once, over one connection after another.

        Args:
            name, args: the method and its arguments.
            cuts: for each connection after how many bytes it is cut; None for a whole one.
            during: called with the number of the connection, and the call that was sent.

        Raises:
            PBConnectionLost: all connections were lost.
        """
        loop = asyncio.get_running_loop()
        number, sent = self.keys.begin(), 0.0
        first: Terms | None = None
        lost: Exception = broker.PBConnectionLost("no connection")
        try:
            for turn, cut in enumerate(cuts):
                try:
                    async with self.house.connected(cut, self._credentials) as connection:
                        terms = await peer_terms(connection)
                        if first is None:
                            first, sent = terms, loop.time()
                        refusal = why_not_again(first, terms, sent, loop.time())
                        if refusal is not None:
                            raise refusal
                        target = connection.avatar if self._credentials else connection.root
                        call = call_with_meta(target, self.keys.meta(number), name, args)
                        if during is not None:
                            beside = asyncio.ensure_future(during(turn, call))
                            await asyncio.wait([beside, asyncio.ensure_future(ended(call))])
                        return await call
                except broker.Disconnected as error:
                    lost = error
            raise lost
        finally:
            self.keys.end(number)
