"""Mailboxes: what waits, what is dropped, and that each loss is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.topics.items import Message, Reset
from broker.topics.mailbox import LOST, Mailbox

DROPPING = (broker.Slow.DROP_OLDEST, broker.Slow.DROP_NEWEST, broker.Slow.CONFLATE)


def at(offset: int, topic: str = "a", epoch: str = "e") -> Message:
    """Return a message of an offset."""
    return Message(topic, offset, broker.Position(epoch, offset))


class World:
    """A mailbox, and an engine of which a test says what it has."""

    def __init__(self, since: Any = None, slow: Any = broker.Slow.DISCONNECT, most: int = 3):
        self.asked: list[object] = []
        self.pages: asyncio.Queue[Any] = asyncio.Queue()
        self.ends = 0
        self.box = Mailbox("a.*", since, slow, most, self.fetch, self.ended)

    async def fetch(self, pattern: str, since: object) -> Any:
        """Return the next page of the test."""
        self.asked.append(since)
        return await self.pages.get()

    def ended(self, box: Mailbox) -> None:
        """Count the ends."""
        self.ends += 1


async def test_disconnect() -> None:
    """Beyond the limit the subscription ends by TooSlow, with the pattern in its text."""
    world = World()
    for offset in range(4):
        world.box.push(at(offset))
    text = r"slow subscriber: 3 messages waiting for 'a\.\*'"
    with pytest.raises(broker.TooSlow, match=text):
        await anext(world.box)
    with pytest.raises(StopAsyncIteration):
        await anext(world.box)
    assert world.ends == 1
    assert world.box.delivery() == broker.Delivery(dropped=3)


@pytest.mark.parametrize(
    ("slow", "expected"),
    [
        (broker.Slow.DROP_OLDEST, [(2, 2), (3, 0), (4, 0)]),
        (broker.Slow.DROP_NEWEST, [(0, 0), (1, 0), (2, 0), (5, 2)]),
        (broker.Slow.CONFLATE, [(4, 4)]),
    ],
)
async def test_loss_is_told(slow: broker.Slow, expected: list[tuple[int, int]]) -> None:
    """Each message tells how many were lost right before it."""
    world = World(slow=slow)
    for offset in range(5):
        world.box.push(at(offset))
    seen = []
    for _ in range(min(3, len(expected))):
        item: Any = await anext(world.box)
        seen.append((item.data, item.missed))
    if len(expected) == 4:
        world.box.push(at(5))
        item = await anext(world.box)
        seen.append((item.data, item.missed))
    assert seen == expected


@given(
    st.sampled_from(DROPPING),
    st.integers(1, 4),
    st.lists(st.sampled_from(["a", "b", "c", "take", "lose"]), max_size=60),
)
def test_the_counts_add_up(slow: broker.Slow, most: int, steps: list[str]) -> None:
    """Messages that were taken, and those that they tell as missed, are all, in order."""

    async def run() -> None:
        world, pushed, taken, missed = World(slow=slow, most=most), 0, [], 0
        for step in [*steps, "a", *["take"] * 10]:
            counts = world.box.delivery()
            if step == "take" and counts.waiting:
                item: Any = await anext(world.box)
                taken.append(item.data)
                missed += item.missed
                assert len(taken) + missed == item.data
            elif step == "lose":
                pushed += 1
                world.box.lose(1)
            elif step != "take":
                pushed += 1
                world.box.push(Message(step, pushed))
        counts = world.box.delivery()
        assert counts.sent == len(taken) and counts.waiting == 0
        assert counts.sent + counts.dropped + counts.conflated == pushed
        assert taken == sorted(taken)

    asyncio.run(run())


async def test_replay_and_live_messages() -> None:
    """Messages that come while a page is fetched follow it, without those that it has."""
    world = World(since=broker.Position("e", 1))
    first = asyncio.ensure_future(anext(world.box))
    await asyncio.sleep(0)
    for offset in (2, 3, 4):
        world.box.push(at(offset))
    world.pages.put_nowait(([at(2), at(3)], broker.Position("e", 3)))
    assert await first == at(2)
    world.box.push(at(3))
    world.box.push(at(9, epoch="before"))
    world.box.push(at(5))
    assert [await anext(world.box) for _ in range(3)] == [at(3), at(4), at(5)]
    assert world.asked == [broker.Position("e", 1)]


async def test_a_gap() -> None:
    """After a gap the next item is a Reset, in place of what waited; nothing counts twice."""
    world = World()
    world.box.push(at(1))
    world.box.reset()
    world.box.push(at(2))
    world.box.push(at(3))
    reset = Reset(broker.Position("e", 2), [])
    world.pages.put_nowait(([reset], broker.Position("e", 2)))
    assert await anext(world.box) == reset
    assert await anext(world.box) == at(3)
    assert world.asked == [LOST]


async def test_a_gap_while_a_page_is_fetched() -> None:
    """A gap makes a page that is on its way worthless."""
    world = World(since=broker.Since.ALL)
    first = asyncio.ensure_future(anext(world.box))
    await asyncio.sleep(0)
    world.box.reset()
    world.pages.put_nowait(([at(1)], broker.Position("e", 1)))
    reset = Reset(broker.Position("f", 0), [])
    world.pages.put_nowait(([reset], broker.Position("f", 0)))
    assert await first == reset


async def test_more_than_can_be_set_aside() -> None:
    """If too many messages come while a page is fetched, the reader gets a Reset."""
    world = World(since=broker.Since.ALL, most=10_000)
    first = asyncio.ensure_future(anext(world.box))
    await asyncio.sleep(0)
    for offset in range(10_001):
        world.box.push(at(offset))
    world.pages.put_nowait(([at(1)], broker.Position("e", 1)))
    reset = Reset(broker.Position("e", 10_000), [])
    world.pages.put_nowait(([reset], broker.Position("e", 10_000)))
    assert await first == reset


async def test_closing() -> None:
    """Closing ends the reader that waits, once; later messages are not kept."""
    world = World()
    waiting = asyncio.ensure_future(anext(world.box, None))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="is being read"):
        await anext(world.box)
    await world.box.aclose()
    await world.box.aclose()
    assert await waiting is None
    world.box.push(at(1))
    world.box.reset()
    assert world.ends == 1 and world.box.delivery() == broker.Delivery()
