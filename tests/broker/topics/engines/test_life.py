"""The life of an engine: it connects until that works, and again when the connection ends."""

from __future__ import annotations

import asyncio

import pytest

from broker.topics.engine import Entry
from broker.topics.engines.life import ConnectedEngine, StartedEngine


class Flaky(ConnectedEngine):
    """An engine whose server refuses some connections, and ends each when the test says so."""

    def __init__(self, refused: int) -> None:
        super().__init__("the server of the test")
        self.refused = refused
        self.begun = self.closed = 0
        self.has_ended = asyncio.Event()

    async def connect(self) -> None:
        """Connect, or fail."""
        self.begun += 1
        if self.begun <= self.refused:
            raise ConnectionRefusedError("not yet")

    async def follow(self) -> None:
        """Read until the connection ends."""
        self.up.set()
        await self.has_ended.wait()
        self.has_ended.clear()
        raise ConnectionError("the connection has ended")

    async def disconnect(self) -> None:
        """Close it."""
        assert not self.is_up
        self.closed += 1


async def test_it_connects_until_that_works(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection is closed, logged and tried again, until messages come."""
    engine = Flaky(refused=1)
    engine.start(lambda entry: None, lambda: None)
    assert not engine.is_up
    async with asyncio.timeout(20):
        await engine.ready()
    assert (engine.begun, engine.closed, engine.is_up) == (2, 1, True)
    assert "the server of the test cannot be used" in caplog.text
    await engine.close()
    assert (engine.closed, engine.is_up) == (2, False)


async def test_it_connects_again() -> None:
    """A connection that has ended is closed, and another is made."""
    engine = Flaky(refused=1)
    engine.start(lambda entry: None, lambda: None)
    async with asyncio.timeout(20):
        await engine.ready()
        engine.has_ended.set()
        while engine.begun < 3 or not engine.is_up:
            await asyncio.sleep(0.01)
    assert engine.closed == 2
    await engine.close()


async def test_a_closed_engine_delivers_nothing() -> None:
    """What is called after the end does nothing, even if the engine still has messages."""
    heard: list[object] = []
    for made in (StartedEngine(), Flaky(refused=0)):
        made.start(heard.append, lambda: heard.append("gap"))
        made.deliver(Entry("a", b"", None, None))
        made.gap()
        await made.close()
        made.deliver(Entry("b", b"", None, None))
        made.gap()
    assert [entry if entry == "gap" else "entry" for entry in heard] == ["entry", "gap"] * 2


async def test_an_engine_that_was_not_started() -> None:
    """Closing an engine that was not started connects nothing."""
    engine = Flaky(refused=0)
    await engine.close()
    assert (engine.begun, engine.is_up) == (0, False)
