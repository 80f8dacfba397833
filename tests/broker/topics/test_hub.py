"""Topics in one process: publishing, callbacks, limits, and the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import broker
from broker.topics.engine import Entry, Lease
from broker.topics.items import Message, Reset


class Bare(broker.MemoryEngine):
    """Keeps nothing, and tells of gaps when a test says so."""

    capabilities = frozenset({"immediate"})

    def start(self, deliver: Any, gap: Any) -> None:
        """Keep what a test calls."""
        super().start(deliver, gap)
        self.gap, self.deliver = gap, deliver


async def test_callbacks(caplog: Any) -> None:
    """A callback gets each message until it is ended; its error does not concern the others."""
    async with broker.Topics() as topics:
        seen: list[Message] = []

        def fail(message: Message) -> None:
            raise KeyError("mine")

        end_of_fail = topics.subscribe("a.*", fail)
        end = topics.subscribe("a.*", seen.append)
        topics.publish("a.x", 1)
        topics.publish("b", 1)
        end()
        end()
        topics.publish("a.x", 2)
        end_of_fail()
        assert [(message.topic, message.data) for message in seen] == [("a.x", 1)]
        assert "a subscriber of 'a.*' has failed" in caplog.text
        assert "0 patterns" in repr(topics)


async def test_without_presence() -> None:
    """With presence=False the engine is told nobody's lease, and a question is refused at once."""

    class Asked(broker.MemoryEngine):
        leases = 0

        async def present(self, leases: list[Lease], seconds: float) -> None:
            self.leases += 1
            await super().present(leases, seconds)

    for presence in (True, False):
        engine = Asked()
        async with broker.Topics(engine, presence=presence) as topics:
            topics.enter("a", "ann")
            if presence:
                assert (await anext(topics.presence("a"))).member == "ann"
            else:
                with pytest.raises(broker.ConfigError, match="presence=False"):
                    await topics.members("a")
                with pytest.raises(broker.ConfigError, match="presence=False"):
                    topics.presence("a")
            topics.leave("a", "ann")
        assert bool(engine.leases) is presence


async def test_an_engine_that_keeps_nothing() -> None:
    """What an engine cannot do is refused at once, rather than begun late."""
    topics = broker.Topics(Bare())
    with pytest.raises(broker.ConfigError, match="this engine keeps no history"):
        topics.messages("a", since=broker.Since.ALL)
    with pytest.raises(broker.ConfigError, match="this engine keeps no retained values"):
        topics.messages("a", since=broker.Since.RETAINED)
    with pytest.raises(broker.ConfigError, match="this engine keeps no retained values"):
        topics.publish("a", 1, keep=True)
    with pytest.raises(broker.ConfigError, match="does not know who is present"):
        await topics.members("a")
    topics.enter("a", "ann")
    topics.leave("a", "ann")
    await topics.close()


async def test_a_gap_is_told() -> None:
    """A gap gives each subscription a Reset; bytes that cannot be decoded are told as missed."""
    engine = Bare()
    topics = broker.Topics(engine)
    reader = topics.messages("a")
    topics.publish("a", 1)
    engine.gap()
    assert await anext(reader) == Reset(None, [])
    engine.deliver(Entry("a", b"?", None, None))
    topics.publish("a", 2)
    item: Any = await anext(reader)
    assert (item.data, item.missed) == (2, 1)
    await topics.close()


async def test_limits() -> None:
    """Patterns of a process are limited, as is the length of a replay."""
    async with broker.Topics(broker.MemoryEngine(history=broker.History(most=20_000)),
                             max_patterns=2) as topics:  # fmt: skip
        readers = [topics.messages("a"), topics.messages("b"), topics.messages("b")]
        with pytest.raises(broker.ServerBusy, match=r"2 patterns \(max_patterns\)") as caught:
            topics.messages("c")
        assert (caught.value.limit, caught.value.most, caught.value.got) == ("max_patterns", 2, 3)
        await readers[0].aclose()
        assert topics.messages("c")
        first = await topics.published("x", 0)
        for number in range(10_001):
            topics.publish("x", number)
        await readers[1].aclose()
        await readers[2].aclose()
        assert isinstance(await anext(topics.messages("x", since=first)), Reset)


async def test_wrong_arguments() -> None:
    """What is no topic, no pattern or no value is refused by the publisher and the subscriber."""
    topics = broker.Topics()
    with pytest.raises(ValueError, match="not a topic"):
        topics.publish("a.*", 1)
    with pytest.raises(ValueError, match="not a pattern"):
        topics.messages("a..b")
    with pytest.raises(ValueError, match="most is 0"):
        topics.messages("a", most=0)
    with pytest.raises(broker.WrongType, match="since= is a Position or a Since, not int"):
        topics.messages("a", since=5)  # type: ignore[arg-type]
    with pytest.raises(broker.ConfigError, match="must be positive"):
        broker.Topics(lease=0)
    with pytest.raises(broker.ConfigError, match="DROP_OLDEST or"):
        broker.Topics(outgoing=broker.Slow.CONFLATE)
    with pytest.raises(LookupError):
        topics.view(object())
    await topics.close()


async def test_the_end() -> None:
    """Closing ends the readers; nothing can be published afterwards."""
    topics = broker.Topics()
    waiting = asyncio.ensure_future(anext(topics.messages("a"), None))
    await asyncio.sleep(0)
    await topics.close()
    assert await waiting is None
    with pytest.raises(RuntimeError, match="were closed"):
        topics.publish("a", 1)
