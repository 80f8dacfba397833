"""Recipes that bring caches: the same view goes on with each connection."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any, Protocol

import pytest
from support.linked import A, B, linked, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link.recipes import LinkedReference
from broker.testing.clock import virtual_clock

DIALECTS = ["msgpack/1", "pb"]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


class Gauge(broker.Resumable):
    """Numbers that a follower adds up."""

    history = broker.History(most=50)

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def getTypeToCopy(self) -> str:
        """Return the name of the type."""
        return "linked.Gauge"

    def getStateToCopy(self) -> dict[str, object]:
        """Return the numbers."""
        return {"numbers": list(self.numbers)}

    def add(self, number: int) -> None:
        """Add a number."""
        self.numbers.append(number)
        self.change("added", number)


@broker.register("linked.Gauge")
class Dial(broker.RemoteCache):
    """Follows a Gauge."""

    numbers: list[int]
    resynced = 0

    def observe_added(self, number: int) -> None:
        """Take a number."""
        self.numbers.append(number)

    def observe_resynced(self) -> None:
        """Count the whole states."""
        object.__setattr__(self, "resynced", self.resynced + 1)


class Market(broker.Root):
    """A root with a table and a Resumable."""

    def __init__(self) -> None:
        self.table: broker.Table[Any, Any] = broker.Table()
        self.gauge = Gauge()
        self.asked = 0
        self.is_closed = False

    def remote_book(self) -> Any:
        """Return the table."""
        self.asked += 1
        if self.is_closed:
            raise broker.Error("no books today")
        return self.table

    def remote_gauge(self) -> Any:
        """Return the Resumable."""
        return self.gauge

    def remote_both(self) -> Any:
        """Return both, as elements."""
        return {"book": self.table, "gauge": self.gauge}

    def remote_ping(self) -> str:
        """Answer."""
        return "pong"


class TypedMarket(Protocol):
    """The contract of a market."""

    async def book(self) -> broker.TableView[str, int]:
        """Return the table."""


async def until_back(net: MemoryNet, link: Any) -> None:
    """Cut the connection, and wait for the next one with its recipes."""
    before = link.connection
    net.cut(A)
    while link.connection in (None, before):
        await asyncio.sleep(0.1)
    await link.root.callRemote("ping")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_table(net: MemoryNet, dialect: str) -> None:
    """The view of a recipe is the same object on each connection, with what has changed since."""
    market, policy = Market(), POLICY.but(dialects=(dialect,))
    market.table.update({"a": 1, "b": 2})
    net.serve(A, market, policy)
    with virtual_clock():
        async with linked(policy=policy) as link:
            book = link.root.recipe("book")
            view = await book
            assert dict(view) == {"a": 1, "b": 2}
            assert await book is view
            del book
            gc.collect()
            changes = view.changes()
            for number in range(3):
                net.cut(A)
                await turns()
                market.table["a"] = number
                market.table.pop("b", None)
                await until_back(net, link)
                assert dict(view) == dict(market.table)
                assert view.is_current
            market.table["c"] = 3
            await link.root.callRemote("ping")
            assert view["c"] == 3
            seen = dict([await anext(changes) for _ in range(3)])
            assert seen == {"a": 2, "b": broker.GONE, "c": 3}
            assert isinstance(link, broker.Link)
        with pytest.raises(broker.PBConnectionLost):
            await anext(changes)


async def test_what_crosses_the_wire(net: MemoryNet) -> None:
    """After a reconnect only what has changed is sent."""
    market = Market()
    market.table.update({f"key {number}": "x" * 100 for number in range(200)})
    net.serve(A, market)
    with virtual_clock():
        async with linked() as link:
            view = await link.root.recipe("book")
            whole = next(iter(net.wires.values())).carried
            net.wires.clear()
            market.table["key 3"] = "changed"
            assert link.connection is not None
            await link.connection.close()
            while link.connection is None:
                await asyncio.sleep(0.1)
            market.table["key 4"] = "changed"
            await link.root.callRemote("ping")
            assert dict(view) == dict(market.table)
            assert next(iter(net.wires.values())).carried < whole / 10


@pytest.mark.parametrize("how", ["book", "typed", "element", "async"])
async def test_ways_to_get_it(net: MemoryNet, how: str) -> None:
    """By a call, by a function, typed, and as an element of a result."""
    market = Market()
    market.table.update({"a": 1})
    net.serve(A, market)

    async def slowly(root: Any) -> Any:
        await root.callRemote("ping")
        return await root.callRemote("book")

    with virtual_clock():
        link = linked()
        recipe: Any = {
            "book": lambda: link.root.recipe("book"),
            "typed": lambda: link.recipe(lambda root: root.of(TypedMarket).book()),
            "element": lambda: link.recipe(lambda root: root.callRemote("both")["book"]),
            "async": lambda: link.recipe(slowly),
        }[how]()
        async with link:
            view = await recipe
            assert isinstance(view, broker.TableView)
            for number in range(3):
                market.table["a"] = number
                await until_back(net, link)
                await turns()
                assert (await recipe) is view
                assert dict(view) == {"a": number}


async def test_another_object(net: MemoryNet) -> None:
    """After a restart the object is another one; the same view has its state."""
    markets = [Market(), Market()]
    for number, market in enumerate(markets):
        market.table["a"] = number
        market.gauge.add(number)
    net.serve(A, markets[0])
    with virtual_clock():
        async with linked() as link:
            view, dial = await link.root.recipe("book"), await link.root.recipe("gauge")
            net.crash(A)
            await turns()
            assert not view.is_current
            net.serve(A, markets[1])
            await link.root.callRemote("ping")
            await turns()
            assert dict(view) == {"a": 1}
            assert (dial.numbers, dial.resynced) == ([1], 1)
            markets[1].table["a"] = 7
            markets[1].gauge.add(8)
            await link.root.callRemote("ping")
            assert (view["a"], dial.numbers) == (7, [1, 8])


async def test_a_failing_recipe(net: MemoryNet) -> None:
    """The error is raised; a view that was there goes on with the next connection."""
    market = Market()
    net.serve(A, market)
    with virtual_clock():
        async with linked() as link:
            market.is_closed = True
            with pytest.raises(broker.Error, match="no books today"):
                await link.root.recipe("book")
            market.is_closed = False
            recipe = link.root.recipe("book")
            view = await recipe
            market.is_closed = True
            await until_back(net, link)
            market.table["a"] = 1
            assert not view.is_current
            assert dict(view) == {}
            market.is_closed = False
            await until_back(net, link)
            assert dict(view) == {"a": 1}
            with pytest.raises(TypeError, match="'book' returned TableView, not a reference"):
                await recipe.callRemote("say")


async def test_a_reference(net: MemoryNet) -> None:
    """Awaiting a recipe of a reference gives the recipe itself, or the error of its call."""
    net.serve(A, Market())
    with virtual_clock():
        link = linked(patience=5.0)
        itself = link.recipe(lambda root: root)
        waiting = asyncio.ensure_future(_awaited(itself))
        async with link:
            assert await waiting is itself
            assert await link.root is link.root
            assert isinstance(link.root, LinkedReference)
            net.crash(A)
            await turns()
            with pytest.raises(broker.PBConnectionLost, match="not run: no connection in 5 s"):
                await itself


async def _awaited(recipe: Any) -> Any:
    return await recipe


async def test_it_lives_as_long_as_it_is_held(net: MemoryNet) -> None:
    """Without the view, the recipe is not made again, and the server is told."""
    market = Market()
    net.serve(A, market)
    with virtual_clock():
        async with linked() as link:
            view = await link.root.recipe("book")
            await until_back(net, link)
            assert market.asked == 2
            known = weakref.ref(view)
            del view
            gc.collect()
            await until_back(net, link)
            assert market.asked == 2
            assert known() is None


async def test_a_move(net: MemoryNet) -> None:
    """The view goes to another server while the former one still sends changes."""
    markets = [Market(), Market()]
    markets[1].table, markets[1].gauge = markets[0].table, markets[0].gauge
    servers = {each: net.serve(each, market) for each, market in zip((A, B), markets, strict=True)}
    table, gauge = markets[0].table, markets[0].gauge
    with virtual_clock():
        async with linked((A, B)) as link:
            view, dial = await link.root.recipe("book"), await link.root.recipe("gauge")
            address = A if net.dialled[A] else B
            is_over = False

            async def change() -> None:
                number = 0
                while not is_over:
                    number += 1
                    table[number % 20] = number
                    gauge.add(number)
                    await asyncio.sleep(0)

            task = asyncio.create_task(change())
            await turns()
            closing = asyncio.create_task(servers[address].close(drain=60))
            await closing
            await turns()
            is_over = True
            await task
            await link.root.callRemote("ping")
            assert dict(view) == dict(table)
            assert dial.numbers == gauge.numbers


@pytest.mark.timeout(120)
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_cuts_under_load(net: MemoryNet, dialect: str) -> None:
    """Over hundreds of cuts and restarts, with changes all the time, the view equals the table."""
    dice = random.Random(36)
    market, policy = Market(), POLICY.but(dialects=(dialect,))
    table, gauge = market.table, market.gauge
    net.delay = 0.002
    net.serve(A, market, policy)
    is_over = False

    async def change() -> None:
        while not is_over:
            for _ in range(dice.randrange(8)):
                key = dice.randrange(300)
                if dice.random() < 0.3:
                    table.pop(key, None)
                else:
                    table[key] = dice.random()
            if dice.random() < 0.5:
                gauge.add(dice.randrange(100))
            await asyncio.sleep(dice.random() * 0.005)

    with virtual_clock():
        retry = broker.Retry(first=0.02, most=0.05)
        async with (
            linked(retry=retry, policy=policy) as link,
            linked(retry=retry, policy=policy) as other,
        ):
            views = [await each.root.recipe("book") for each in (link, other)]
            dials = [await each.root.recipe("gauge") for each in (link, other)]
            task = asyncio.create_task(change())
            for _ in range(300):
                await asyncio.sleep(dice.random() * 0.1)
                if dice.random() < 0.8:
                    net.cut(A)
                else:
                    net.crash(A)
                    net.serve(A, market, policy)
            is_over = True
            await task
            for each in (link, other):
                await each.root.callRemote("ping")
                await each.root.callRemote("both")
            await asyncio.sleep(1)
            for view, dial in zip(views, dials, strict=True):
                assert dict(view) == dict(table)
                assert view.is_current
                assert dial.numbers == gauge.numbers
