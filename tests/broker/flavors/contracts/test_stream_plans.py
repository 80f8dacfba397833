"""Streams in contracts: each item has its type at both ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS

import broker
from broker.flavors.contracts.stream_plans import item_hint, same_stream


@dataclass
class Price:
    """An item."""

    row: str
    cents: int


class Office(Protocol):
    """Has streams both ways."""

    def prices(self, row: str) -> AsyncIterator[Price]:
        """Make prices."""

    async def store(
        self, lines: AsyncIterable[str] | None, *, progress: broker.Progress | None = None
    ) -> int:
        """Count lines."""

    async def later(self) -> AsyncIterator[int]:
        """Return a stream."""


class TheOffice:
    """Fits the contract."""

    async def prices(self, row: str) -> AsyncIterator[Price]:
        """Make prices, of which one may be wrong."""
        for cents in (1, 2, "x" if row == "wrong" else 3):
            yield Price(row, cents)  # type: ignore[arg-type]

    async def store(self, lines: Any, *, progress: Any = None) -> int:
        """Count the lines, and report."""
        count = 0
        if lines is not None:
            async for line in lines:
                assert type(line) is str
                count += 1
                if progress is not None:
                    progress.report(count)
        return count

    async def later(self) -> AsyncIterator[int]:
        """Return a stream."""
        return numbers(1, 2)


async def numbers(*items: Any) -> AsyncIterator[Any]:
    """Make these items."""
    for item in items:
        yield item


class Reports:
    """Notes reports."""

    def __init__(self) -> None:
        self.reports: list[float] = []

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Note it."""
        self.reports.append(done)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_both_ways(dialect: str) -> None:
    """Items are converted; a wrong one fails the end that sees it first, and stops the stream."""
    policy = broker.STRICT.but(dialects=(dialect,), show_all_errors=True)
    servant = broker.servant(Office)(TheOffice())
    async with (
        broker.serve(servant, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        office = connection.root.of(Office)
        assert [price async for price in office.prices("A")] == [
            Price("A", 1), Price("A", 2), Price("A", 3)
        ]  # fmt: skip
        assert await anext(office.prices("A")) == Price("A", 1)
        with pytest.raises(broker.RemoteError, match=r"item\.cents: Expected `int`, got `str`"):
            async for _ in office.prices("wrong"):
                pass
        assert [number async for number in await office.later()] == [1, 2]
        watcher = Reports()
        assert await office.store(numbers("a", "b"), progress=watcher) == 2
        assert watcher.reports == [1, 2]
        assert await office.store(broker.Stream(numbers("a"), size=1)) == 1
        assert await office.store(None) == 0
        with pytest.raises(broker.RemoteError, match="item: Expected `str`, got `int`"):
            await office.store(numbers(5))
        with pytest.raises(broker.WrongArguments, match=r"^store: lines: Expected `AsyncIterable"):
            await office.store(["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_against_untyped_ends(dialect: str) -> None:
    """The end with the contract checks what it reads."""

    class Untyped(broker.Root):
        async def remote_prices(self, row: str) -> AsyncIterator[Any]:
            """Make dicts."""
            yield {"row": row, "cents": 1}
            yield {"row": row}

    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Untyped(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        got = []
        with pytest.raises(broker.WrongResult, match="missing required field `cents`"):
            async for price in connection.root.of(Office).prices("A"):
                got.append(price)
        assert got in ([Price("A", 1)], [])
    async with (
        broker.serve(
            broker.servant(Office)(TheOffice()), "pb://127.0.0.1:0", policy=policy
        ) as server,
        broker.connect(server.addresses[0], policy=policy) as connection,
    ):
        prices = [price async for price in connection.root.callRemote("prices", "A")]
        assert prices[0] == {"row": "A", "cents": 1}
        with pytest.raises(broker.RemoteError):
            await connection.root.callRemote("store", numbers(1))


async def test_each_iterator_is_sent_once() -> None:
    """Also through a contract, which wraps it."""
    async with (
        broker.serve(broker.servant(Office)(TheOffice()), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        office = connection.root.of(Office)
        items = numbers("a")
        assert await office.store(items) == 1
        for again in (items, broker.Stream(items)):
            with pytest.raises(broker.CannotJelly, match="this stream has been sent"):
                await office.store(again)


async def test_the_generator_is_closed() -> None:
    """Also behind the checks of a contract."""
    ended: list[bool] = []

    class Endless:
        async def prices(self, row: str) -> AsyncIterator[Price]:
            """Make prices without an end."""
            try:
                while True:
                    yield Price(row, 1)
            finally:
                ended.append(True)

        async def store(self, lines: Any, *, progress: Any = None) -> int:
            """Take nothing."""
            return 0

        later = TheOffice.later

    async with (
        broker.serve(broker.servant(Office)(Endless()), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        async for price in connection.root.of(Office).prices("A"):
            assert price == Price("A", 1)
            break
        while not ended:
            await connection.root.callRemote("store", None)
    assert ended == [True]


def test_which_types_are_streams() -> None:
    """The three abstract classes, alone, generic, or with None beside them."""
    assert item_hint(AsyncIterator[int]) == (int, False)
    assert item_hint(AsyncIterable[int] | None) == (int, True)
    assert item_hint(AsyncGenerator[int, None]) == (int, False)
    assert item_hint(AsyncIterator) == (Any, False)
    assert item_hint(int | None) is None
    assert item_hint(AsyncIterator[int] | str) is None
    assert same_stream(AsyncIterator[int], AsyncGenerator[int, None])
    assert not same_stream(AsyncIterator[int], AsyncIterator[str])
    assert not same_stream(int, int)


def test_a_class_that_implements_a_contract() -> None:
    """Its generator may say what kind of async iterator it is, and no other items."""

    class Right(broker.Referenceable):
        async def remote_prices(self, row: str) -> AsyncGenerator[Price, None]:
            """Make none."""
            for price in ():
                yield price

        async def remote_store(
            self, lines: AsyncIterable[str] | None, *, progress: Any = None
        ) -> int:
            """Take none."""
            return 0

        async def remote_later(self) -> AsyncIterator[int]:
            """Return a stream."""
            return numbers()

    assert broker.implements(Office)(Right) is Right

    class Wrong(Right):
        async def remote_prices(self, row: str) -> AsyncIterator[int]:  # type: ignore[override]
            """Make numbers."""
            for price in ():
                yield price

    with pytest.raises(broker.ConfigError, match="returns AsyncIterator"):
        broker.implements(Office)(Wrong)


async def test_a_description() -> None:
    """It tells the form, and the types."""
    async with (
        broker.serve(broker.servant(Office)(TheOffice()), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        described = await broker.describe(connection.root)
        text = described.as_python()
        assert "    def prices(self, row: str) -> AsyncIterator[Price]:" in text
        assert "async def store(self, lines: AsyncIterable[str] | None," in text
        compile(text, "described", "exec")
        assert described.as_json_schema()
