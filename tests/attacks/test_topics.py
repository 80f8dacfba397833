"""Topics: hostile subscribers and publishers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import broker
from broker.testing import pair
from cred import Portal

pytestmark = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class User(broker.Avatar):
    """May use all topics but those of others."""

    def __init__(self, topics: broker.Topics):
        self.topics = topics

    def grants(self) -> broker.Grants:
        """Return the grants."""
        return broker.Grants(subscribe=["a.*"], publish=["a.*"], presence=["a.*"])

    def perspective_topics(self) -> Any:
        """Return the view of this user."""
        return self.topics.view(self)


@asynccontextmanager
async def attacked(dialect: str) -> AsyncIterator[tuple[broker.Topics, Any]]:
    """Connect an attacker, who calls without a contract."""
    async with broker.Topics() as topics:
        portal = Portal(broker.realm(lambda name, mind: User(topics)))
        async with pair(portal, user="eve", dialect=dialect) as ends:
            yield topics, await ends.client.avatar.callRemote("topics")


NAMES = ["", ".", "a.", "a..b", "*.", "a.\0", "a.b\n", "a" * 60_000, ".".join("a" * 17), "é", "a.é"]
VALUES = [None, 1, 1.5, b"a.b", ["a.b"], {"a": 1}, True]


@pytest.mark.parametrize("name", [*NAMES, *VALUES], ids=repr)
async def test_names(dialect: str, name: object) -> None:
    """A name that is no topic, or no text, is refused by each method, and nothing is kept."""
    if isinstance(name, str) and len(name) > 100:
        name = "a." + name
    async with attacked(dialect) as (topics, eve):
        for method, args in (
            ("subscribe", ()),
            ("subscribe_reference", (broker.Referenceable(),)),
            ("publish", (1,)),
            ("members", ()),
            ("presence", ()),
        ):
            with pytest.raises((broker.WrongArguments, broker.RemoteError)) as caught:
                await eve.callRemote(method, name, *args)
            assert "internal error" not in str(caught.value)
        assert "0 patterns" in repr(topics)


@pytest.mark.parametrize(
    "options",
    [
        {"most": 0},
        {"most": -1},
        {"most": 10_001},
        {"most": 1 << 63},
        {"most": "5"},
        {"slow": "fast"},
        {"slow": 1},
        {"since": "all of it"},
        {"since": ["e"]},
        {"since": [1, 1]},
        {"since": ["e", "1"]},
        {"since": ["e", 1.5]},
        {"other": 1},
    ],
    ids=repr,
)
async def test_options(dialect: str, options: dict[str, object]) -> None:
    """An option of another form is refused, and nothing is kept."""
    async with attacked(dialect) as (topics, eve):
        with pytest.raises((broker.WrongArguments, broker.RemoteError)) as caught:
            await eve.callRemote("subscribe", "a.b", **options)
        assert "internal error" not in str(caught.value)
        assert "0 patterns" in repr(topics)


@pytest.mark.parametrize(
    "position", [["e", 1], ["e" * 10_000, 1], ["", 0], ["e", -5], ["e", (1 << 63) - 1]], ids=repr
)
async def test_positions(dialect: str, position: list[object]) -> None:
    """A position that never was gives a Reset."""
    async with attacked(dialect) as (topics, eve):
        topics.publish("a.b", 1)
        stream = broker.stream_of(await eve.callRemote("subscribe", "a.b", since=position))
        item = await anext(stream)
        assert item[0] == 1 and item[1][1] == 1


@pytest.mark.parametrize(
    "value",
    [broker.Referenceable(), "x" * 65_536, [["x" * 600] * 200, 1]],
    ids=["object", "long", "many"],
)
async def test_data(dialect: str, value: object) -> None:
    """Objects and values of too many bytes are refused; nobody gets them."""
    async with attacked(dialect) as (topics, eve):
        reader = topics.messages("a.*")
        with pytest.raises(Exception) as caught:
            await eve.callRemote("publish", "a.b", value)
        assert "internal error" not in str(caught.value)
        topics.publish("a.b", "good")
        item: Any = await anext(reader)
        assert (item.data, item.missed) == ("good", 0)


async def test_too_many_subscriptions(dialect: str) -> None:
    """An attacker has 100 subscriptions at most, of which each keeps few messages."""
    async with attacked(dialect) as (topics, eve):
        for _ in range(100):
            await eve.callRemote("subscribe_reference", "a.b", Ear())
        with pytest.raises(broker.ServerBusy, match=r"100 subscriptions \(max_subscriptions\)"):
            await eve.callRemote("subscribe", "a.c")
        await eve.callRemote("unsubscribe", -1)
        await eve.callRemote("unsubscribe", 1 << 62)
        assert "1 patterns" in repr(topics)


async def test_unread_streams(dialect: str) -> None:
    """A subscription whose stream is never read ends when the stream is dropped, or is cut off."""
    async with attacked(dialect) as (topics, eve):
        for _ in range(300):
            eve.callRemote("subscribe", "a.b", pbanswer=False)
        await none(topics, eve)
        streams = [await eve.callRemote("subscribe", "a.b") for _ in range(60)]
        assert "1 patterns" in repr(topics)
        streams.clear()
        gc.collect()
        await none(topics, eve)
        streams = [await eve.callRemote("subscribe", "a.b") for _ in range(60)]
    assert "0 patterns" in repr(topics)


async def none(topics: broker.Topics, eve: Any) -> None:
    """Wait until nobody subscribes."""
    await eve.callRemote("members", "a.b")
    async with asyncio.timeout(20):
        while "0 patterns" not in repr(topics):
            gc.collect()
            await asyncio.sleep(0.01)


class Ear(broker.Referenceable):
    """Has none of the methods of a listener."""
