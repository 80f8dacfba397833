"""Interceptors of the calls that a client makes: what they see, what they may do, and the order."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.defer import CancelledError
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


class Shop(broker.Root):
    """Notes what it is asked, in its order."""

    def __init__(self) -> None:
        self.order: list[Any] = []
        self.cancelled = asyncio.Event()
        self.came = asyncio.Event()

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        self.order.append(value)
        self.came.set()
        return value

    def remote_meta(self) -> dict[str, str]:
        """Return the metadata of the call."""
        return dict(broker.current_call().metadata)

    def remote_self(self) -> Shop:
        """Return itself."""
        return self

    async def remote_wait(self) -> None:
        """Wait until it is cancelled."""
        self.came.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def connected(
    interceptors: list[Any], dialect: str = "msgpack/1", root: Any = None, **kw: Any
) -> AsyncIterator[Any]:
    """Return a connection with interceptors, whose root is a Shop."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(root or Shop(), LOOPBACK, policy=policy) as server,
        broker.connect(
            server.addresses[0], policy=policy, interceptors=interceptors, **kw
        ) as connection,
    ):
        yield connection


@each_dialect
async def test_what_they_see_and_replace(dialect: str) -> None:
    """The first is outermost; each sees the call before it is sent, and may replace its result."""
    told: list[Any] = []

    def named(name: str) -> Any:
        async def interceptor(call: Any, proceed: Any) -> Any:
            told.append((name, call.name, call.is_incoming, call.wants_answer, call.target))
            return f"{await proceed()}{name}"

        return interceptor

    async with connected([named("a"), named("b")], dialect) as connection:
        assert await connection.root.callRemote("echo", "x") == "xba"
        assert call_of(connection, told) == [("a", "echo"), ("b", "echo")]


def call_of(connection: Any, told: list[Any]) -> list[tuple[str, str]]:
    """Return who has seen which call; all are calls of this end that want an answer."""
    assert all(each[2:] == (False, True, None) for each in told)
    return [each[:2] for each in told]


async def test_metadata_may_be_added() -> None:
    """What an interceptor adds goes along; what the program attaches is there before."""

    async def adds(call: Any, proceed: Any) -> Any:
        call.metadata["token"] = call.metadata.get("tenant", "none")
        return await proceed()

    async with connected([adds]) as connection:
        assert await connection.root.callRemote("meta") == {"token": "none"}
        with broker.metadata(tenant="a"):
            expected = {"tenant": "a", "token": "a"}
            assert await connection.root.callRemote("meta") == expected


@pytest.mark.parametrize("name", ["Bad", "", "x" * 63, "é", 3])
async def test_metadata_that_cannot_be_sent(name: Any) -> None:
    """The call fails and is not sent."""

    async def adds(call: Any, proceed: Any) -> Any:
        call.metadata[name] = "a"
        return await proceed()

    shop = Shop()
    async with connected([adds], root=shop) as connection:
        with pytest.raises(broker.ConfigError, match="metadata: a name is"):
            await connection.root.callRemote("echo", 1)
    assert shop.order == []


async def test_too_much_metadata() -> None:
    """A ninth entry fails the call, also if an interceptor adds it."""

    async def adds(call: Any, proceed: Any) -> Any:
        call.metadata.update({f"n{n}": "a" for n in range(int(call.metadata["most"]))})
        return await proceed()

    async with connected([adds]) as connection:
        with broker.metadata(most="7"):
            assert len(await connection.root.callRemote("meta")) == 8
        with broker.metadata(most="8"), pytest.raises(broker.TooLarge, match="9 entries"):
            await connection.root.callRemote("meta")


@each_dialect
async def test_calls_keep_their_order(dialect: str) -> None:
    """Calls of one reference are sent in their order, however long interceptors take."""
    gates = [asyncio.Event() for _ in range(6)]
    arrived: list[int] = []

    async def suspends(call: Any, proceed: Any) -> Any:
        number = len(arrived)
        arrived.append(number)
        await gates[number].wait()
        if number == 2:
            raise broker.Error("not you")
        return await proceed()

    shop = Shop()
    async with connected([suspends], dialect, shop) as connection:
        root = connection.root
        calls = [root.callRemote("echo", number) for number in range(4)]
        root.send("echo", 4)
        calls.append(root.callRemote("echo", 5))
        while len(arrived) < 6:
            await asyncio.sleep(0)
        for gate in reversed(gates):
            gate.set()
        with pytest.raises(broker.Error, match="not you"):
            await calls[2]
        assert [await calls[n] for n in (0, 1, 3, 4)] == [0, 1, 3, 5]
        assert shop.order == [0, 1, 3, 4, 5]


@each_dialect
async def test_calls_without_an_answer_are_sent_before_the_end(dialect: str) -> None:
    """Leaving the block sends what was made in it."""

    async def suspends(call: Any, proceed: Any) -> Any:
        await asyncio.sleep(0)
        return await proceed()

    shop = Shop()
    async with connected([suspends], dialect, shop) as connection:
        for number in range(3):
            connection.root.send("echo", number)
        await connection.close()
        await shop.came.wait()
    assert shop.order == [0, 1, 2]


async def test_cancelled() -> None:
    """A call is cancelled in its interceptor, before its first step, and at the peer."""
    gate = asyncio.Event()

    async def waits(call: Any, proceed: Any) -> Any:
        await gate.wait()
        return await proceed()

    shop = Shop()
    async with connected([waits], root=shop) as connection:
        for steps in (0, 3):
            call = connection.root.callRemote("echo", 1)
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(CancelledError):
                await call
        gate.set()
        call = connection.root.callRemote("wait")
        await shop.came.wait()
        call.cancel()
        with pytest.raises(CancelledError):
            await call
        await shop.cancelled.wait()
        # None of them holds back the calls after it.
        assert await connection.root.callRemote("echo", 2) == 2
    gc.collect()
    assert shop.order == [2]


async def test_an_interceptor_that_is_cancelled() -> None:
    """The call of an interceptor whose own work was cancelled ends, too."""

    async def cancelled(call: Any, proceed: Any) -> Any:
        raise asyncio.CancelledError

    async with connected([cancelled]) as connection:
        with pytest.raises(CancelledError):
            await connection.root.callRemote("echo", 1)


@pytest.mark.parametrize("steps", [0, 3])
async def test_a_connection_that_ends(steps: int) -> None:
    """A call that was not sent fails, and certainly has not run."""

    async def waits(call: Any, proceed: Any) -> Any:
        await asyncio.Event().wait()

    async with connected([waits]) as connection:
        call = connection.root.callRemote("echo", 1)
        connection.root.send("echo", 2)
        for _ in range(steps):
            await asyncio.sleep(0)
        connection.broker.port.abortConnection()
        with pytest.raises(broker.PBConnectionLost) as caught:
            await call
        assert caught.value.may_have_run is False
        await connection.wait_closed()
        assert connection.stats.sends_dropped == 1


async def test_timeouts_hold_around_interceptors() -> None:
    """A call ends at its deadline in an interceptor, which sees how much time is left."""
    lefts: list[Any] = []

    async def waits(call: Any, proceed: Any) -> Any:
        lefts.append(call.deadline)
        await asyncio.Event().wait()

    async with connected([waits]) as connection:
        with pytest.raises(broker.CallTimeout):
            async with broker.timeout(0.05):
                await connection.root.callRemote("echo", 1)
    assert 0 < lefts[0] <= 0.05


async def test_one_that_asks_the_server() -> None:
    """An interceptor may make calls of its own, which pass the interceptors, too."""
    seen: list[str] = []

    async def asks(call: Any, proceed: Any) -> Any:
        seen.append(call.name)
        if call.name == "echo":
            call.metadata["token"] = str(await call.connection.root.callRemote("meta"))
        return await proceed()

    async with connected([asks]) as connection:
        root = connection.root
        first, second = root.callRemote("echo", 1), root.callRemote("echo", 2)
        assert (await first, await second) == (1, 2)
    assert seen == ["echo", "echo", "meta", "meta"]


@each_dialect
async def test_promises(dialect: str) -> None:
    """Calls on promises, and with promises among their arguments, pass them when they are sent."""
    seen: list[str] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append(call.name)
        return await proceed()

    async with connected([sees], dialect) as connection:
        promise = connection.root.callRemote("self")
        assert await promise.callRemote("echo", 3) == 3
        promise = connection.root.callRemote("self")
        back = await connection.root.callRemote("echo", promise)
        assert await back.callRemote("echo", 4) == 4
    assert seen == ["self", "echo", "self", "echo", "echo"]


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


async def test_contracts() -> None:
    """They see the name of the contract; the result that they return is checked by it."""
    seen: list[Any] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append((call.contract, call.name))
        result = await proceed()
        return "free" if result == 0 else result

    async with connected([sees], root=broker.servant(Priced)(Prices())) as connection:
        typed = connection.root.of(Priced)
        assert await typed.price(4) == 8
        with pytest.raises(broker.WrongResult, match="price: result"):
            await typed.price(0)
    assert seen == [(f"{__name__}.Priced", "price")] * 2


@each_dialect
async def test_logins_are_not_seen(dialect: str) -> None:
    """The calls of a login, which have secrets, pass neither interceptors nor observers."""
    seen: list[str] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append(call.name)
        return await proceed()

    class Told(broker.Observer):
        def call_started(self, call: Any) -> None:
            seen.append(call.name)

    class Member(broker.Avatar):
        def perspective_who(self) -> str:
            return "me"

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: Member()), [checker])
    around: dict[str, Any] = {"observers": [Told()]}
    async with connected(
        [sees], dialect, portal, credentials=UsernamePassword("alice", "a"), **around
    ) as connection:
        assert await connection.avatar.callRemote("who") == "me"
    assert seen == ["who", "who"]


async def test_events() -> None:
    """The calls of Subscribers pass them as well."""
    seen: list[Any] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append((call.name, call.wants_answer))
        return await proceed()

    shop = Shop()
    async with connected([sees], root=shop) as connection:
        subscribers = broker.Subscribers()
        subscribers.add(connection.root)
        subscribers.send("echo", 7)
        await shop.came.wait()
    assert (seen, shop.order) == ([("echo", False)], [7])


async def test_a_link() -> None:
    """A Link has them on each of its connections."""
    seen: list[str] = []

    async def sees(call: Any, proceed: Any) -> Any:
        seen.append(call.name)
        return await proceed()

    async with (
        broker.serve(Shop(), LOOPBACK) as server,
        broker.Link(server.addresses[0], interceptors=[sees]) as link,
    ):
        assert await link.root.callRemote("echo", 1) == 1
    assert "echo" in seen


def test_wrong_use() -> None:
    """What is not an interceptor is refused before anything is opened."""
    for wrong in (3, broker.RateLimit):
        with pytest.raises(broker.WrongType, match=r"^interceptors= takes async functions, not"):
            broker.connect(LOOPBACK, interceptors=[wrong])  # type: ignore[list-item]
        with pytest.raises(broker.WrongType, match=r"^interceptors= takes async functions, not"):
            broker.Link(LOOPBACK, interceptors=[wrong])  # type: ignore[list-item]
