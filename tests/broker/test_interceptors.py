"""Interceptors: what they see, what they may do, and the order of calls around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

import broker
from broker.errors import ConfigError
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class Shop(broker.Root):
    """Notes the order in which methods run."""

    def __init__(self) -> None:
        self.order: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        self.order.append(value)
        return value

    async def remote_slow(self, value: Any) -> Any:
        """Return it later."""
        self.order.append(value)
        await asyncio.sleep(0)
        return value

    def remote_raise(self) -> None:
        """Raise."""
        raise ValueError("a secret")

    async def remote_count(self, most: int) -> AsyncIterator[int]:
        """Yield numbers."""
        for number in range(most):
            yield number

    def remote_one(self, value: Any) -> Any:
        """Take one argument."""
        return value


def policy_of(dialect: str) -> broker.Policy:
    """Return the strict policy with one dialect."""
    return broker.STRICT.but(dialects=(dialect,))


@DIALECTS
async def test_order_and_results(dialect: str) -> None:
    """The first given is outermost; each may replace the result."""
    told: list[str] = []

    def named(name: str) -> Any:
        async def interceptor(call: Any, proceed: Any) -> Any:
            told.append(f"{name} {call.name} {call.target.__name__} {call.wants_answer}")
            result = await proceed()
            told.append(f"{name} after")
            return f"{result}{name}"

        return interceptor

    async with (
        broker.serve(
            Shop(), LOOPBACK, policy=policy_of(dialect), interceptors=[named("a"), named("b")]
        ) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        assert await connection.root.callRemote("echo", "x") == "xba"
        assert await connection.root.callRemote("slow", "y") == "yba"
    assert told[:4] == ["a echo Shop True", "b echo Shop True", "b after", "a after"]


@DIALECTS
async def test_calls_keep_their_order(dialect: str) -> None:
    """Methods of an object begin in the order of the calls, however long interceptors take."""
    gates: dict[int, asyncio.Event] = {number: asyncio.Event() for number in range(6)}
    arrived: list[int] = []

    async def suspends(call: Any, proceed: Any) -> Any:
        number = len(arrived)
        arrived.append(number)
        await gates[number].wait()
        if number == 2:
            raise broker.Error("not you")
        return await proceed()

    shop = Shop()
    async with (
        broker.serve(shop, LOOPBACK, policy=policy_of(dialect), interceptors=[suspends]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        root = connection.root
        calls = [root.callRemote("echo" if n % 2 else "slow", n) for n in range(5)]
        while len(arrived) < 5:
            await asyncio.sleep(0)
        for number in (4, 2, 3, 1, 5, 0):
            gates[number].set()
            await asyncio.sleep(0.01)
        assert await calls[0] == 0
        with pytest.raises(broker.Error, match="not you"):
            await calls[2]
        assert [await calls[n] for n in (1, 3, 4)] == [1, 3, 4]
        assert shop.order[:4] == [0, 1, 3, 4]


async def test_proceed_once() -> None:
    """A second proceed raises; without one, the method does not run."""

    async def twice(call: Any, proceed: Any) -> Any:
        if call.name == "one":
            return "instead"
        await proceed()
        return await proceed()

    shop = Shop()
    async with (
        broker.serve(shop, LOOPBACK, interceptors=[twice], debug=True) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with pytest.raises(Exception, match="proceed was called twice"):
            await connection.root.callRemote("echo", 1)
        assert await connection.root.callRemote("one", 5) == "instead"
        assert shop.order == [1]


@DIALECTS
async def test_only_calls_that_would_run(dialect: str) -> None:
    """A call that fails its checks reaches no interceptor; an error of the method passes it."""
    told: list[Any] = []

    async def sees(call: Any, proceed: Any) -> Any:
        told.append(call.name)
        try:
            return await proceed()
        except Exception as exc:
            told.append(type(exc).__name__)
            raise

    async with (
        broker.serve(Shop(), LOOPBACK, policy=policy_of(dialect), interceptors=[sees]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with pytest.raises(broker.NoSuchMethod):
            await connection.root.callRemote("missing")
        with pytest.raises(broker.RemoteError, match="internal error"):
            await connection.root.callRemote("raise")
        items = [
            item async for item in broker.stream_of(await connection.root.callRemote("count", 3))
        ]
        assert items == [0, 1, 2]
    assert told == ["raise", "ValueError", "count"]


async def test_metadata() -> None:
    """Metadata of the application is there by its names."""
    seen: list[dict[str, str]] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append(call.metadata)
        return await proceed()

    async with (
        broker.serve(Shop(), LOOPBACK, interceptors=[sees]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with broker.metadata(tenant_id="a"):
            await connection.root.callRemote("echo", 1)
        await connection.root.callRemote("echo", 1)
    assert seen == [{"tenant_id": "a"}, {}]


class Priced(Protocol):
    """A contract."""

    async def price(self, number: int) -> int:
        """Return a price."""
        ...


class Prices:
    """Fits it."""

    async def price(self, number: int) -> int:
        """Return a price."""
        return number * 2


class Member(broker.Avatar):
    """A user."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def perspective_who(self) -> str:
        """Return the user of the call."""
        return str(broker.current_call().peer.avatar_id)


async def test_contracts() -> None:
    """The calls of a contract pass interceptors."""
    told: list[str] = []

    async def sees(call: Any, proceed: Any) -> Any:
        told.append(call.name)
        return await proceed()

    async with (
        broker.serve(broker.servant(Priced)(Prices()), LOOPBACK, interceptors=[sees]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        assert await connection.root.of(Priced).price(4) == 8
    assert told == ["price"]


@DIALECTS
async def test_logins_are_not_seen(dialect: str) -> None:
    """The calls of a login, which have secrets, pass no interceptor; calls know their user."""
    told: list[Any] = []

    async def sees(call: Any, proceed: Any) -> Any:
        told.append((call.name, call.peer.avatar_id))
        return await proceed()

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: Member(name)), [checker])
    policy = policy_of(dialect)
    async with (
        broker.serve(portal, LOOPBACK, policy=policy, interceptors=[sees]) as server,
        broker.connect(server.addresses[0], UsernamePassword("alice", "a")) as connection,
    ):
        assert await connection.avatar.callRemote("who") == "alice"
    assert told == [("who", "alice")]


class Clock:
    """A clock that is set."""

    time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time


@DIALECTS
async def test_rate_limit(dialect: str) -> None:
    """Calls beyond the rate are refused with the seconds to wait; each key has its own count."""
    clock = Clock()
    limit = broker.RateLimit(calls=2, per=1.0, clock=clock.now)
    shop = Shop()
    async with broker.serve(
        shop, LOOPBACK, policy=policy_of(dialect), interceptors=[limit]
    ) as server:
        first = await broker.connect(server.addresses[0])
        second = await broker.connect(server.addresses[0])
        for _ in range(2):
            await first.root.callRemote("echo", 1)
        text = r"^2 calls in 1 s \(rate limit\); again in 0\.5 s$"
        with pytest.raises(broker.ServerBusy, match=text) as caught:
            await first.root.callRemote("echo", 2)
        if dialect == "msgpack/1":
            assert caught.value.after == 0.5
        assert await second.root.callRemote("echo", 3) == 3
        clock.time = 0.6
        assert await first.root.callRemote("echo", 4) == 4
        assert shop.order == [1, 1, 3, 4]
        await first.close()
        await second.close()


async def test_one_way_calls_are_limited_too() -> None:
    """A one-way call beyond the rate is not run."""
    shop = Shop()
    limit = broker.RateLimit(calls=3, per=1000.0, by=lambda call: call.name)
    async with (
        broker.serve(shop, LOOPBACK, interceptors=[limit]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        for number in range(5):
            connection.root.callRemote("echo", number).addErrback(lambda _: None)
        with pytest.raises(broker.ServerBusy):
            await connection.root.callRemote("echo", 9)
        assert shop.order == [0, 1, 2]


def test_wrong_use() -> None:
    """What is not an interceptor, or not a rate, is refused before anything is opened."""
    for wrong in (3, broker.RateLimit):
        with pytest.raises(broker.WrongType, match=r"^interceptors= takes async functions, not"):
            broker.serve(Shop(), LOOPBACK, interceptors=[wrong])  # type: ignore[list-item]
    for calls, per in ((0, 1.0), (1, 0.0), (1, float("inf"))):
        with pytest.raises(ValueError, match="give positive numbers"):
            broker.RateLimit(calls, per)
    with pytest.raises(broker.WrongType):
        broker.RateLimit(1.5)  # type: ignore[arg-type]
    assert issubclass(broker.WrongType, ConfigError)
