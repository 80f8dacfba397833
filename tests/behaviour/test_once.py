"""Calls that run at most once: cut connections, other users, and hostile clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest
from support.once_house import KEY, Caller, House, Shop, ended, house, once, outcome

import broker
from broker.once_calls import peer_terms

# The connection is cut at every byte.


async def length(name: str) -> int:
    """The bytes of a whole conversation of one call."""
    shop = Shop()
    shop.gate.set()
    async with house(shop) as home:
        with contextlib.suppress(broker.Error):
            await Caller(home).call(name, "apple")
        return home.carried


@pytest.mark.parametrize("name", ["buy", "refuse", "slow"])
async def test_cut_at_every_byte(name: str) -> None:
    """The call runs once if it is repeated in time, with the same outcome as on one connection."""
    size = await length(name)
    expected = {
        "buy": "{'sold': 'apple', 'number': 1}",
        "refuse": "Error: apple is out of stock",
        "slow": "('apple', b'graph')",
    }
    assert size > 200
    for byte in range(size + 1):
        shop = Shop()
        shop.gate.set()
        async with house(shop) as home:
            # The last connection is whole. The second is cut too, at the same place.
            call = Caller(home).call(name, "apple", cuts=(byte, byte, None))
            assert await outcome(call) == expected[name], byte
            assert shop.sold == {"apple": 1}, byte
            assert not shop.cancelled


async def test_cut_at_every_byte_without_repeating() -> None:
    """Without a repetition the call runs at most once."""
    size, runs = await length("buy"), Counter[int]()
    for byte in range(size + 1):
        shop = Shop()
        async with house(shop) as home:
            with contextlib.suppress(broker.Disconnected):
                await Caller(home).call("buy", "apple", cuts=(byte,))
            runs[shop.sold["apple"]] += 1
    assert set(runs) == {0, 1}


async def test_cut_at_every_byte_while_the_method_runs() -> None:
    """The method goes on, and the repeated call waits for it."""
    size = await length("slow")
    for byte in range(0, size + 1, 3):
        shop = Shop()
        async with house(shop) as home:

            async def during(turn: int, call: Any, home: House = home, shop: Shop = shop) -> None:
                if turn == 0:
                    # The first connection is cut here at the latest.
                    waits = [asyncio.ensure_future(it) for it in (shop.begun.wait(), ended(call))]
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    waits[0].cancel()
                    home.wire.cut()
                else:
                    for _ in range(20):
                        await asyncio.sleep(0)
                    shop.gate.set()

            call = Caller(home).call("slow", "apple", cuts=(byte, None, None), during=during)
            assert await outcome(call) == "('apple', b'graph')", byte
            assert shop.sold == {"apple": 1}, byte
            assert not shop.cancelled
            assert not home.kept._running


# The rules of keys.


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("room", "apple"),
        ("rows", "apple"),
        ("price", "apple"),
        ("much", 65_537),
        ("same", "self"),
    ],
)
@pytest.mark.parametrize("is_lost", [False, True])
async def test_results_that_cannot_be_repeated(name: str, argument: Any, is_lost: bool) -> None:
    """A second call gets ResultLost, and the call does not run again; the first gets its result."""
    shop = Shop()
    async with house(shop) as home:
        value = Shop() if argument == "self" else argument
        async with home.connected() as connection:
            call = once(connection.root, f"{KEY}.1.0", name, value)
            if is_lost:
                await asyncio.sleep(0)
            else:
                # A client does not know the class of the cache.
                assert ("InsecureJelly" in await outcome(call)) is (name == "price")
        await outcome(call)
        async with home.connected() as connection:
            for _ in range(2):
                with pytest.raises(broker.ResultLost, match="its result cannot be repeated") as got:
                    await once(connection.root, f"{KEY}.1.0", name, 1)
                assert got.value.may_have_run is True
            assert await connection.root.callRemote("ping") == "pong"
        assert sum(shop.sold.values()) == 1


async def test_values_that_look_like_references() -> None:
    """A dict with such keys is an ordinary value."""
    async with house(Shop()) as home:
        for number, value in enumerate([{b"local": 1}, {b"remote": [b"x"]}, (b"remote", 1)], 1):
            async with home.connected() as connection:
                key = f"{KEY}.{number}.0"
                assert await once(connection.root, key, "same", value) == value
                assert await once(connection.root, key, "same", value) == value


async def test_another_method() -> None:
    """A key is for one call; the connection goes on."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        root = connection.root
        assert await once(root, f"{KEY}.1.0", "buy", "a")
        with pytest.raises(broker.WrongArguments, match=r"^this key was used for another call$"):
            await once(root, f"{KEY}.1.0", "much", 1)
        assert shop.sold == {"a": 1}


async def test_acknowledged_calls() -> None:
    """A call up to the acknowledged number is lost, also if it has never come."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        root = connection.root
        await once(root, f"{KEY}.1.0", "buy", "a")
        await once(root, f"{KEY}.5.3", "buy", "b")
        for number in (1, 2, 3):
            with pytest.raises(broker.ResultLost):
                await once(root, f"{KEY}.{number}.0", "buy", "c")
        await once(root, f"{KEY}.4.0", "buy", "d")
        assert shop.sold == {"a": 1, "b": 1, "d": 1}
        # Two calls and the nonce.
        assert home.kept.count == 3


async def test_calls_that_did_not_run() -> None:
    """A refused call leaves its key free: the repetition runs."""
    shop = Shop()
    async with house(shop, policy=broker.STRICT.but(max_calls=1)) as home:
        async with home.connected() as connection:
            root = connection.root
            running = root.callRemote("slow", "x")
            with pytest.raises(broker.ServerBusy):
                await once(root, f"{KEY}.1.0", "buy", "a")
            with pytest.raises(broker.ServerBusy):
                await once(root, f"{KEY}.2.0", "nothing")
            shop.gate.set()
            await running
            with pytest.raises(broker.NoSuchMethod):
                await once(root, f"{KEY}.2.0", "nothing")
            with pytest.raises(broker.WrongArguments, match="missing"):
                await once(root, f"{KEY}.3.0", "buy")
            assert await once(root, f"{KEY}.1.0", "buy", "a")
            assert await once(root, f"{KEY}.3.0", "buy", "b")
        assert shop.sold == {"x": 1, "a": 1, "b": 1}


async def test_two_calls_at_once() -> None:
    """On one connection too, the second waits; both get the reply, the first before the second."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        order: list[int] = []
        calls = [once(connection.root, f"{KEY}.1.0", "slow", "a") for _ in range(3)]
        for number, call in enumerate(calls):
            call.addCallback(lambda value, number=number: order.append(number) or value)
        await shop.begun.wait()
        shop.gate.set()
        assert [await call for call in calls] == [("a", b"graph")] * 3
        assert order == [0, 1, 2]
        assert shop.sold == {"a": 1}


async def test_a_call_that_waits_for_a_lost_result() -> None:
    """It gets ResultLost, as one that comes later; the first call gets the result."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        first, second = (once(connection.root, f"{KEY}.1.0", "slow_room", "a") for _ in range(2))
        await connection.root.callRemote("ping")
        shop.gate.set()
        with pytest.raises(broker.ResultLost) as got:
            await second
        assert got.value.may_have_run is True
        assert await (await first).callRemote("ping") == "pong"
        assert shop.sold == {"a": 1}


async def test_the_second_call_is_cancelled() -> None:
    """A cancelled repetition cancels the method, since it is the same call."""
    shop = Shop()
    async with house(shop) as home:
        async with home.connected() as connection:
            first = once(connection.root, f"{KEY}.1.0", "slow", "a")
            await shop.begun.wait()
        await outcome(first)
        async with home.connected() as connection:
            second = once(connection.root, f"{KEY}.1.0", "slow", "a")
            await connection.root.callRemote("ping")
            assert not shop.cancelled
            second.cancel()
            await outcome(second)
            await connection.root.callRemote("ping")
            assert shop.cancelled == {"a": 1}
            third = await outcome(once(connection.root, f"{KEY}.1.0", "slow", "a"))
            assert "cancelled" in third
        assert shop.sold == {"a": 1}


async def test_a_lost_second_call() -> None:
    """A repetition whose connection is lost is forgotten; the method goes on."""
    shop = Shop()
    async with house(shop) as home:
        for _ in range(3):
            async with home.connected() as connection:
                call = once(connection.root, f"{KEY}.1.0", "slow", "a")
                await connection.root.callRemote("ping")
            await outcome(call)
        (key,) = home.kept._running
        assert not key.call._waiting
        shop.gate.set()
        async with home.connected() as connection:
            assert await once(connection.root, f"{KEY}.1.0", "slow", "a") == ("a", b"graph")
        assert (shop.sold, shop.cancelled) == ({"a": 1}, {})


async def test_the_deadline_of_a_lost_call() -> None:
    """The deadline of the first call still holds when its connection is lost."""
    shop = Shop()
    async with house(shop) as home:
        async with home.connected() as connection:
            with pytest.raises(broker.CallTimeout):
                async with broker.timeout(0.05):
                    first = once(connection.root, f"{KEY}.1.0", "slow", "a")
                    await shop.begun.wait()
                    home.wire.cut()
                    with contextlib.suppress(broker.Disconnected):
                        await first
                    await asyncio.Event().wait()
        while not shop.cancelled:
            await asyncio.sleep(0.001)
        assert not home.kept._running


async def test_other_calls_are_cancelled_with_their_connection() -> None:
    """A call without a key is cancelled, as ever."""
    shop = Shop()
    async with house(shop) as home:
        async with home.connected() as connection:
            call = connection.root.callRemote("slow", "a")
            await shop.begun.wait()
        assert "PBConnectionLost" in await outcome(call)
        while not shop.cancelled:
            await asyncio.sleep(0)


@pytest.mark.parametrize("drain", [0, 5.0])
async def test_the_end_of_the_server(drain: float) -> None:
    """A drain waits for a method without a connection; its end cancels the method."""
    shop = Shop()
    async with house(shop) as home:
        async with home.connected() as connection:
            call = once(connection.root, f"{KEY}.1.0", "slow", "a")
            await shop.begun.wait()
        await outcome(call)
        closing = asyncio.ensure_future(home.server.close(drain=drain))
        for _ in range(10):
            await asyncio.sleep(0)
        assert closing.done() is (not drain)
        shop.gate.set()
        await closing
        while home.kept._running:
            await asyncio.sleep(0)
        assert shop.cancelled == ({} if drain else {"a": 1})


async def test_calls_at_the_end_of_the_server() -> None:
    """Their callers learn that the connection has ended, as those of other calls do."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        calls = [once(connection.root, f"{KEY}.1.0", "slow", "a")]
        calls.append(connection.root.callRemote("slow", "b"))
        while len(shop.sold) < 2:
            await asyncio.sleep(0)
        await home.server.close(drain=0)
        for call in calls:
            assert "PBConnectionLost" in await outcome(call)
        while home.kept._running or len(shop.cancelled) < 2:
            await asyncio.sleep(0)
        assert shop.cancelled == {"a": 1, "b": 1}


async def test_a_draining_server() -> None:
    """It still gives replies that it has, and runs no new call."""
    shop = Shop()
    async with house(shop) as home, home.connected() as connection:
        root = connection.root
        first = await once(root, f"{KEY}.1.0", "buy", "a")
        home.ends[-1].session.drain()
        assert await once(root, f"{KEY}.1.0", "buy", "a") == first
        with pytest.raises(broker.ServerDraining):
            await once(root, f"{KEY}.2.0", "buy", "a")
        assert shop.sold == {"a": 1}


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
async def test_servers_without_replies(dialect: str) -> None:
    """A Link learns that before it sends anything."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Shop(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        texts = {
            "msgpack/1": "^the server keeps no replies$",
            "pb": r"^the peer keeps no replies \('pb'\)$",
        }
        with pytest.raises(broker.ConfigError, match=texts[dialect]):
            await peer_terms(connection)
        async with broker.once():
            with pytest.raises(broker.ConfigError, match=r"^once needs the avatar, a named object"):
                connection.root.callRemote("buy", 1)
        assert await connection.root.callRemote("ping") == "pong"


async def test_the_reply_of_a_large_graph_whose_connection_is_lost() -> None:
    """It is lost, and the work for it is bounded."""

    class Library(broker.Root):
        gate = asyncio.Event()
        runs = 0

        async def remote_books(self) -> object:
            """Return many values that need a graph."""
            Library.runs += 1
            await self.gate.wait()
            return [[b"x", number] for number in range(200_000)]

    async with house(Library()) as home:
        async with home.connected() as connection:
            call = once(connection.root, f"{KEY}.1.0", "books")
            while not Library.runs:
                await asyncio.sleep(0)
        await outcome(call)
        Library.gate.set()
        while home.kept._running:
            await asyncio.sleep(0)
        async with home.connected() as connection:
            with pytest.raises(broker.ResultLost):
                await once(connection.root, f"{KEY}.1.0", "books")
        assert Library.runs == 1


class Archive(broker.Root):
    """Takes and returns large graphs, whose work takes many turns of the loop."""

    def __init__(self) -> None:
        self.runs = 0

    def remote_load(self) -> object:
        """Return one."""
        self.runs += 1
        return [[b"x", [number]] for number in range(100_000)]

    async def remote_load_later(self) -> object:
        """Return one, from a task."""
        await asyncio.sleep(0)
        return self.remote_load()

    def remote_store(self, graph: object) -> int:
        """Take one."""
        self.runs += 1
        return 1


@pytest.mark.parametrize("name", ["load", "load_later"])
async def test_cut_while_the_answer_is_made(name: str) -> None:
    """The call has run, and its result is lost."""
    archive = Archive()
    async with house(archive) as home:
        async with home.connected() as connection:
            call = once(connection.root, f"{KEY}.1.0", name)
            while not (archive.runs and home.ends[-1].session.inbox.works):
                await asyncio.sleep(0)
        assert "PBConnectionLost" in await outcome(call)
        assert not home.kept._running
        async with home.connected() as connection:
            with pytest.raises(broker.ResultLost):
                await once(connection.root, f"{KEY}.1.0", name)
        assert archive.runs == 1


async def test_cut_while_the_arguments_are_read() -> None:
    """The call has not run, and its key is free."""
    archive = Archive()
    async with house(archive) as home:
        graph = archive.remote_load()
        async with home.connected() as connection:
            call = once(connection.root, f"{KEY}.1.0", "store", graph)
            while not home.kept._running:
                await asyncio.sleep(0)
            assert archive.runs == 1
        assert "PBConnectionLost" in await outcome(call)
        assert not home.kept._running
        async with home.connected() as connection:
            assert await once(connection.root, f"{KEY}.1.0", "store", graph) == 1
        assert archive.runs == 2


async def test_a_second_call_while_the_answer_is_made() -> None:
    """It waits, and gets ResultLost, since the reply is too large."""
    archive = Archive()
    async with house(archive) as home, home.connected() as connection:
        first = once(connection.root, f"{KEY}.1.0", "load")
        while not archive.runs:
            await asyncio.sleep(0)
        second = once(connection.root, f"{KEY}.1.0", "load")
        with pytest.raises(broker.ResultLost):
            await second
        assert len(await first) == 100_000
        assert archive.runs == 1
