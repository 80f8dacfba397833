"""The queue for the engine: its limits, its order, and what becomes of messages that fail."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import broker
from broker.topics.engine import Outgoing
from broker.topics.outgoing import Outbox


class Engine:
    """Fails, or waits, as a test says; notes what it was given."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.failures = 0
        self.calls: list[list[str]] = []

    async def publish(self, messages: list[Outgoing]) -> list[Any]:
        """Take messages."""
        self.calls.append([message.id for message in messages])
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        return [broker.Position("e", int(message.id)) for message in messages]


def message(number: int, size: int = 1) -> Outgoing:
    """Return a message."""
    return Outgoing(f"t.{number}", b"x" * size, False, False, None, str(number))


def outbox(slow: broker.Slow = broker.Slow.DROP_OLDEST) -> tuple[Any, Outbox, list[str]]:
    """Return an engine, its queue, and the topics of lost messages."""
    engine, lost = Engine(), []
    return engine, Outbox(engine, slow, lost.append), lost  # type: ignore[arg-type]


async def test_failures_keep_the_order() -> None:
    """A batch that failed is given again as it was, before all others."""
    engine, box, lost = outbox()
    engine.failures = 1
    first = box.put_and_tell(message(1))
    while not engine.calls:
        await asyncio.sleep(0)
    second = box.put_and_tell(message(2))
    assert await first == broker.Position("e", 1) and await second == broker.Position("e", 2)
    assert engine.calls == [["1"], ["1"], ["2"]] and lost == [] and len(box) == 0


@pytest.mark.parametrize(
    ("slow", "gone"), [(broker.Slow.DROP_OLDEST, "t.1"), (broker.Slow.DROP_NEWEST, "t.10000")]
)
async def test_a_full_queue(slow: broker.Slow, gone: str, caplog: Any) -> None:
    """Beyond 10,000 a message is dropped, counted, told and logged once; callers are refused."""
    engine, box, lost = outbox(slow)
    engine.open.clear()
    box.put(message(0))
    while not engine.calls:
        await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING, "broker.topics"):
        for number in range(1, 10_001):
            box.put(message(number))
        box.put(message(10_001))
    assert lost[0] == gone and box.dropped == 2 and len(caplog.records) == 1
    with pytest.raises(broker.ServerBusy, match="10000 messages wait for the engine"):
        box.put_and_tell(message(0))
    engine.open.set()
    await box.drain(5)
    assert len(box) == 0 and box.dropped == 2


async def test_a_queue_of_many_bytes() -> None:
    """Beyond 16 MiB too."""
    engine, box, lost = outbox()
    engine.open.clear()
    for number in range(20):
        box.put(message(number, 1 << 20))
    assert len(lost) == 5 and len(box) == 15
    await box.drain(0)
    assert box.dropped == 20


async def test_a_caller_that_has_given_up() -> None:
    """A message whose publisher does not wait any more is not sent, if it was not on its way."""
    engine, box, _ = outbox()
    engine.open.clear()
    box.put(message(1))
    while not engine.calls:
        await asyncio.sleep(0)
    box.put_and_tell(message(2)).cancel()
    box.put(message(3))
    engine.open.set()
    await box.drain(5)
    assert engine.calls == [["1"], ["3"]]


async def test_closing_ends_those_who_wait() -> None:
    """What the engine has not taken in time is refused."""
    engine, box, _ = outbox()
    engine.open.clear()
    waiting = box.put_and_tell(message(1))
    await box.drain(0.01)
    with pytest.raises(broker.ServerBusy, match="closed"):
        await waiting
