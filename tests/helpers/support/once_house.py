"""A server in memory that keeps replies, and clients that come to it again and again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
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
from cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

__all__ = [
    "ALICE",
    "BOB",
    "KEY",
    "Caller",
    "House",
    "Shop",
    "ended",
    "house",
    "once",
    "outcome",
    "portal",
]


KEY = "A" * 22


class Price(broker.Cacheable):
    """A cache, of a class that clients do not know."""

    def getStateToCacheAndObserveFor(self, perspective: object, observer: object) -> object:
        """Return the state."""
        return {}

    def stoppedObserving(self, perspective: object, observer: object) -> None:
        """Do nothing."""


class Shop(broker.Root):
    """Counts the sales, by article."""

    def __init__(self) -> None:
        self.sold: Counter[object] = Counter()
        self.cancelled: Counter[object] = Counter()
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    def remote_buy(self, what: object) -> object:
        """Sell at once."""
        self.sold[what] += 1
        return {"sold": what, "number": self.sold[what]}

    def remote_refuse(self, what: object) -> object:
        """Sell, and raise an error."""
        self.sold[what] += 1
        raise broker.Error(f"{what} is out of stock")

    async def remote_slow(self, what: object) -> object:
        """Sell, and answer when the gate is open."""
        self.sold[what] += 1
        self.begun.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled[what] += 1
            raise
        return (what, b"graph")

    def remote_room(self, what: object) -> object:
        """Return a reference."""
        self.sold[what] += 1
        return [Shop()]

    async def remote_slow_room(self, what: object) -> object:
        """Return a reference when the gate is open."""
        await self.remote_slow(what)
        return Shop()

    def remote_price(self, what: object) -> object:
        """Return a cache."""
        self.sold[what] += 1
        return [Price()]

    def remote_same(self, what: object) -> object:
        """Return the argument."""
        self.sold["same"] += 1
        return what

    def remote_much(self, size: int) -> object:
        """Return a text."""
        self.sold["much"] += 1
        return "x" * size

    async def remote_rows(self, what: object) -> Any:
        """Return a stream."""
        self.sold[what] += 1
        yield 1

    def remote_ping(self) -> str:
        """Show that the server is not blocked."""
        return "pong"


class User(Shop, broker.Avatar):
    """An avatar with the same methods, and one shop for all."""

    def __init__(self, shop: Shop) -> None:
        self.sold, self.cancelled = shop.sold, shop.cancelled
        self.begun, self.gate = shop.begun, shop.gate

    def __getattr__(self, name: str) -> Any:
        if name.startswith("perspective_"):
            return getattr(self, "remote_" + name.removeprefix("perspective_"))
        raise AttributeError(name)

    perspective_buy = Shop.remote_buy
    perspective_slow = Shop.remote_slow
    perspective_much = Shop.remote_much
    perspective_ping = Shop.remote_ping


def portal(shop: Shop) -> Portal:
    """A portal with two users, and guests."""
    checkers = InMemoryUsernamePasswordDatabaseDontUse(alice=b"a", bob=b"b")
    return Portal(broker.realm(lambda *_: User(shop)), [checkers, AllowAnonymousAccess()])


ALICE, BOB = UsernamePassword(b"alice", b"a"), UsernamePassword(b"bob", b"b")


def once(reference: Any, key: str, name: str, *args: object) -> Any:
    """Make a call with a key."""
    return call_with_meta(reference, {"once": key}, name, args)


async def outcome(call: Any) -> str:
    """The result or the error of a call, as text."""
    try:
        return repr(await call)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


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
