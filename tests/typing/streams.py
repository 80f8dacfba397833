"""A user's program with streams; a type checker finds nothing to say, with no plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import broker
import broker.progress


@dataclass
class Row:
    """An item."""

    number: int


class Table(Protocol):
    """The contract."""

    def rows(self, first: int) -> AsyncIterator[Row]:
        """A stream as the result."""
        ...

    async def total(self, numbers: AsyncIterator[int]) -> int:
        """A stream as an argument."""
        ...

    async def work(self, progress: broker.Progress) -> None:
        """A call that reports."""
        ...


class TheTable:
    """The server's object."""

    async def rows(self, first: int) -> AsyncIterator[Row]:
        """Make rows."""
        yield Row(first)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        """Add."""
        return sum([number async for number in numbers])

    async def work(self, progress: broker.Progress) -> None:
        """Report."""
        progress.report(1, 2, "half")


async def numbers() -> AsyncIterator[int]:
    """Make numbers."""
    yield 1


async def use(reference: broker.RemoteReference, path: Path) -> None:
    """Use each of them."""
    broker.servant(Table)(TheTable())
    table = reference.of(Table)
    async for row in table.rows(1):
        number: int = row.number
        print(number)
    total: int = await table.total(numbers())
    with broker.progress.bar(total=2, description="work") as bar:
        await table.work(bar)
    async for item in reference.callRemote("rows"):
        print(item)
    with broker.credit(items=1):
        stream = broker.stream_of(await reference.callRemote("rows"))
    async with stream:
        print(await anext(stream), stream.received, stream.size)
    size: int = await broker.write_file(reference.callRemote("file"), path, most=total)
    await reference.callRemote("keep", broker.read_file(path), broker.Stream(numbers(), size=size))
