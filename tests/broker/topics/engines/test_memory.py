"""The engine in memory: its limits, and a model of positions and gaps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.topics.engine import Outgoing
from broker.topics.engines import memory
from broker.topics.items import Message, Reset
from broker.topics.names import matches

PATTERNS = ["a", "b", "*", ">", "c.*"]
TOPICS = ["a", "b", "c.x", "c.y"]
STEPS = st.lists(
    st.tuples(st.just("publish"), st.sampled_from(TOPICS))
    | st.tuples(st.just("read"), st.integers(1, 5))
    | st.tuples(st.sampled_from(["cut", "come", "restart", "older"]), st.just(0)),
    max_size=60,
)


class Reader:
    """A client that keeps its last position over cuts, and what it must have seen."""

    def __init__(self, pattern: str):
        self.pattern = pattern
        self.box: Any = None
        self.position: Any = None
        self.seen: list[int] = []

    async def read(self, model: Model) -> bool:
        """Take an item if one is there, and check it; return whether there was one."""
        try:
            async with asyncio.timeout(0.001 if self.box._start is None else 1):
                if not (self.box._head or self.box._size or self.box._start is not None):
                    return False
                item = await anext(self.box)
        except TimeoutError:
            return False
        if isinstance(item, Reset):
            assert model.has_lost(self), "a Reset where nothing was lost"
            self.seen = [n for n, _, offset in model.all if offset <= item.position.offset]
        else:
            assert isinstance(item, Message)
            assert item.data not in self.seen, "a double"
            before = [
                number
                for number, topic, offset in model.all
                if matches(self.pattern, topic)
                and offset < item.position.offset
                and model.begun(self) < offset
            ]
            assert set(before) <= set(self.seen), "a hole without a Reset"
            self.seen.append(item.data)
        self.position = item.position
        return True


class Model:
    """All that was published on one engine, in tuples of number, topic and offset."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.number = 0
        self.topics: Any = None
        self.restart()

    def restart(self) -> None:
        """Begin with an engine that has nothing."""
        self.all: list[tuple[int, str, int]] = []
        history = broker.History(most=3, seconds=10)
        self.engine = broker.MemoryEngine(history=history, now=lambda: self.clock)
        self.topics = broker.Topics(self.engine)
        self.times: dict[int, float] = {}
        self.starts: dict[Reader, int] = {}

    def publish(self, topic: str) -> None:
        """Publish the next number."""
        self.number += 1
        self.topics.publish(topic, self.number)
        offset = len(self.all) + 1
        self.all.append((self.number, topic, offset))
        self.times[offset] = self.clock

    def begun(self, reader: Reader) -> int:
        """Return the offset at which a reader that had no position began."""
        return self.starts.get(reader, 0)

    def has_lost(self, reader: Reader) -> bool:
        """Return whether something that a reader lacks is not kept any more."""
        position = reader.position
        if position.epoch != self.engine._epoch:
            return True
        for topic in TOPICS:
            mine = [one for one in self.all if one[1] == topic and matches(reader.pattern, topic)]
            kept = [one for one in mine[-3:] if self.times[one[2]] > self.clock - 10]
            if any(one[2] > position.offset and one not in kept for one in mine):
                return True
        return False


@given(st.sampled_from(PATTERNS), STEPS)
def test_no_hole_and_no_double(pattern: str, steps: list[tuple[str, Any]]) -> None:
    """Over cuts, evictions and restarts each message comes once, or a Reset tells of a loss."""

    async def run() -> None:
        model, reader = Model(), Reader(pattern)

        def come() -> None:
            if reader.box is None:
                if reader.position is None:
                    model.starts[reader] = len(model.all)
                reader.box = model.topics.messages(pattern, since=reader.position, most=10_000)

        async def cut() -> None:
            if reader.box is not None:
                await reader.box.aclose()
                reader.box = None

        come()
        for step, value in [*steps, ("come", 0), ("read", 1000)]:
            if step == "publish":
                model.publish(value)
            elif step == "cut":
                await cut()
            elif step == "come":
                come()
            elif step == "older":
                model.clock += 6
            elif step == "restart":
                await cut()
                model.restart()
            elif reader.box is not None:
                for _ in range(value):
                    if not await reader.read(model):
                        break
        started = model.begun(reader)
        if reader.position is None or reader.position.epoch == model.engine._epoch:
            wanted = {
                n for n, topic, offset in model.all if matches(pattern, topic) and offset > started
            }
            assert wanted <= set(reader.seen)

    asyncio.run(run())


def message(topic: str, data: bytes = b"pnil", keep: bool = False) -> Outgoing:
    """Return a message."""
    return Outgoing(topic, data, keep, False, None, topic)


async def test_too_many_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic that was published least recently goes; positions from before it are lost."""
    monkeypatch.setattr(memory, "_MOST_TOPICS", 2)
    engine = broker.MemoryEngine()
    positions = engine.publish([message(name, keep=True) for name in ("a", "b", "a", "c")])
    assert [entry.topic for entry in (await engine.retained(">")).entries] == ["a", "c"]
    assert await engine.replay(">", positions[0]) is None
    assert await engine.replay("b", positions[0]) is None
    assert await engine.replay("b", positions[1]) is not None
    assert await engine.replay("a", positions[0]) is not None
    engine.publish([message(name) for name in "defg"])
    assert await engine.replay("x", positions[0]) is None, "too old to be known for one topic"
    assert await engine.replay("g", None) is not None


async def test_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is when all histories together have too many bytes."""
    monkeypatch.setattr(memory, "_MOST_BYTES", 1000)
    engine = broker.MemoryEngine()
    for name in ("a", "b", "c"):
        engine.publish([message(name, b"p" * 300)])
    page = await engine.replay(">", None)
    assert page is not None
    assert page is not None and len(page.entries) < 3


def test_a_wrong_history() -> None:
    """A history of another type is refused."""
    with pytest.raises(broker.WrongType, match="history= is a History, not int"):
        broker.MemoryEngine(history=5)  # type: ignore[arg-type]
