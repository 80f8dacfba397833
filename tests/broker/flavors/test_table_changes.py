"""Changes of a view: each changed key once, with its newest value."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import broker
from broker.flavors.table_changes import GONE, Changes


class Items:
    """A dict that tells a reader of its changes, as a view does."""

    def __init__(self, *keys: str) -> None:
        self.items: dict[str, int] = dict.fromkeys(keys, 0)
        self.changes: Changes[str, int] = Changes(lambda: self.items)

    def put(self, key: str, value: int) -> None:
        """Set a key."""
        existed = key in self.items
        self.items[key] = value
        self.changes.note(key, existed)

    def remove(self, key: str) -> None:
        """Remove a key."""
        del self.items[key]
        self.changes.note(key, True)


def test_gone() -> None:
    """It is one object, which says what it is."""
    assert broker.GONE is GONE
    assert repr(GONE) == "broker.GONE"


async def test_each_key_once_with_its_newest_value() -> None:
    """In the order in which the keys began to wait."""
    one = Items("a", "b")
    for number in range(100):
        one.put("a", number)
        one.put("c", number)
    one.remove("b")
    assert one.changes.waiting == 3
    changes = one.changes
    assert [await anext(changes) for _ in range(3)] == [("a", 99), ("c", 99), ("b", GONE)]
    assert changes.waiting == 0


async def test_it_waits() -> None:
    """A step waits for a change, and several may."""
    one = Items()
    steps = [asyncio.ensure_future(one.changes.__anext__()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(step.done() for step in steps)
    one.put("a", 1)
    one.put("b", 2)
    assert sorted(await asyncio.gather(*steps)) == [("a", 1), ("b", 2)]


async def test_the_end() -> None:
    """What waits comes first, then the error, at each step."""
    one = Items()
    one.put("a", 1)
    one.changes.end(ValueError("over"))
    assert await anext(one.changes) == ("a", 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="over"):
            await anext(one.changes)
    other = Items()
    step = asyncio.ensure_future(other.changes.__anext__())
    await asyncio.sleep(0)
    other.changes.end(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        await step


async def test_a_reader_that_reads_nothing() -> None:
    """At most the keys that it knows, and those that there are, wait for it."""
    one = Items("a", "b")
    for number in range(10_000):
        one.put(f"k{number}", number)
        one.remove(f"k{number}")
    assert one.changes.waiting == 0
    one.remove("a")
    one.put("a", 5)
    one.put("c", 6)
    assert [await anext(one.changes) for _ in range(2)] == [("a", 5), ("c", 6)]


@pytest.mark.parametrize("seed", range(20))
async def test_a_copy_that_is_made_of_the_changes(seed: int) -> None:
    """It is equal to the items in the end, however slow the reader is."""
    dice = random.Random(seed)
    one = Items(*"abc")
    copied = dict(one.items)

    async def read() -> None:
        key, value = await anext(one.changes)
        if value is GONE:
            # A key that the reader does not have is not told to have gone.
            del copied[key]
        else:
            assert value == one.items[key]
            copied[key] = value

    for number in range(300):
        key: Any = dice.choice("abcdefg")
        if dice.random() < 0.4 and key in one.items:
            one.remove(key)
        else:
            one.put(key, number)
        if dice.random() < 0.3 and one.changes.waiting:
            await read()
    while one.changes.waiting:
        await read()
    assert copied == one.items
