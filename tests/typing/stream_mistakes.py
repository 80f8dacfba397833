"""Uses of streams that a type checker must refuse, each on a line that says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

from streams import Row, Table, numbers

import broker


async def texts() -> AsyncIterator[str]:
    """Make texts."""
    yield "one"


async def mistakes(reference: broker.RemoteReference) -> None:
    """Make one mistake a line."""
    table = reference.of(Table)
    async for row in table.rows(1):
        text: str = row.number  # wrong: an int
        print(text)
    await table.total(texts())  # wrong: items of another type
    table.rows("1")  # wrong: a text
    for each in table.rows(1):  # wrong: it is asynchronous
        print(each)
    broker.Stream([1, 2])  # wrong: a list
    broker.Stream(numbers(), size="5")  # wrong: a text
    broker.read_file("a", piece=b"")  # wrong: a number
    await broker.write_file(numbers(), "a")  # wrong: a file has bytes
    await table.work(5)  # wrong: it has no report
    print(Row(1))
