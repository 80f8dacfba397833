"""Topics of a user over a connection: grants, limits, streams and listeners, in each dialect."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import broker
from broker.testing import pair
from broker.topics.contract import TopicsContract
from broker.topics.items import Joined, Members, Message, Reset
from cred import Portal
from cred.error import Unauthorized

pytestmark = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class User(broker.Avatar):
    """May use chat.*, and listen to prices."""

    asked = 0

    def __init__(self, topics: broker.Topics):
        self.topics = topics

    def grants(self) -> broker.Grants:
        """Return the grants, and count how often they were asked for."""
        type(self).asked += 1
        return broker.Grants(
            subscribe=["prices.>", "chat.*"], publish=["chat.*"], presence=["chat.*"]
        )

    def perspective_topics(self) -> Any:
        """Return the view of this user."""
        return self.topics.view(self)


class Ear:
    """A listener."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()

    def message(self, *args: Any) -> None:
        """Note a message."""
        self.heard.put_nowait(args)

    def missed(self, number: int) -> None:
        """Note a number."""
        self.heard.put_nowait(number)

    def reset(self) -> None:
        """Note a gap."""
        self.heard.put_nowait("reset")


@asynccontextmanager
async def using(
    dialect: str, face: str = "asyncio", **options: Any
) -> AsyncIterator[tuple[broker.Topics, Any, Any]]:
    """Connect ann; give the topics, her view of them, and the pair."""
    async with broker.Topics(**options) as topics:
        portal = Portal(broker.realm(lambda name, mind: User(topics)))
        async with pair(portal, user="ann", dialect=dialect, face=face) as ends:
            made = ends.client.avatar.callRemote("topics")
            yield topics, made.of(TopicsContract), ends


@pytest.mark.parametrize("face", ["asyncio", "published"])
async def test_messages(dialect: str, face: str) -> None:
    """Messages arrive with their position and publisher, first those that are kept."""
    async with using(dialect, face) as (topics, mine, _):
        first = await mine.publish("chat.lobby", {"a": [1, b"x", (1, 2)]}, keep=True)
        assert isinstance(first, broker.Position)
        async with asyncio.timeout(10):
            stream = aiter(mine.subscribe("chat.*", since=broker.Since.ALL))
            assert await anext(stream) == Message(
                "chat.lobby", {"a": [1, b"x", (1, 2)]}, first, "ann"
            )
            topics.publish("chat.x", datetime.date(2026, 1, 2))
            item: Any = await anext(stream)
            assert (item.data, item.by, item.missed) == (datetime.date(2026, 1, 2), None, 0)
            again = aiter(mine.subscribe("chat.*", since=broker.Position("other", 3)))
            reset: Any = await anext(again)
            assert isinstance(reset, Reset) and reset.position == item.position
            assert [message.topic for message in reset.retained] == ["chat.lobby"]


async def test_grants(dialect: str) -> None:
    """What no grant covers is refused, by the texts of the manual; grants are asked for once."""
    User.asked = 0
    async with using(dialect) as (_, mine, ends):
        with pytest.raises(Unauthorized, match=r"you may not subscribe to 'prices'"):
            await anext(aiter(mine.subscribe("prices")))
        with pytest.raises(Unauthorized, match=r"you may not subscribe to 'chat\.>'"):
            await mine.subscribe_reference("chat.>", Ear())
        with pytest.raises(Unauthorized, match=r"you may not publish to 'prices\.A'"):
            await mine.publish("prices.A", 1)
        with pytest.raises(Unauthorized, match=r"you may not see who is in 'prices\.A'"):
            await mine.members("prices.A")
        with pytest.raises(Unauthorized, match=r"you may not see who is in 'chat\.>'"):
            await anext(aiter(mine.presence("chat.>")))
        again = ends.client.avatar.callRemote("topics").of(TopicsContract)
        await again.publish("chat.a", 1)
        assert User.asked == 1


async def test_presence(dialect: str) -> None:
    """A user who subscribes is a member, once, and is gone with its connection."""
    async with using(dialect, lease=0.2) as (topics, mine, ends):
        streams = [aiter(mine.subscribe("chat.a", since=broker.Since.ALL)) for _ in range(2)]
        await mine.publish("chat.a", 1)
        for stream in streams:
            await anext(stream)
        events = aiter(mine.presence("chat.*"))
        assert await anext(events) == Joined("chat.a", "ann")
        assert await mine.members("chat.a") == Members(["ann"], 0)
        await ends.close()
        async with asyncio.timeout(10):
            while (await topics.members("chat.a")).names:
                await asyncio.sleep(0.01)
        assert "0 patterns" in repr(topics)


async def test_listeners(dialect: str) -> None:
    """A listener is called one way, until its subscription is ended."""
    async with using(dialect) as (topics, mine, _):
        ear = Ear()
        number = await mine.subscribe_reference("chat.*", ear)
        with pytest.raises(broker.ServerBusy, match="already"):
            await mine.subscribe_reference("chat.*", ear)
        topics.publish("chat.a", [1])
        topic, data, position, by = await ear.heard.get()
        assert (topic, data, by) == ("chat.a", [1], None)
        assert isinstance(position, broker.Position)
        topics._lost("chat.a")
        topics._gap()
        assert [await ear.heard.get(), await ear.heard.get()] == [1, "reset"]
        await mine.unsubscribe(number)
        await mine.unsubscribe(number)
        topics.publish("chat.a", 2)
        await mine.members("chat.a")
        assert ear.heard.empty()
        assert "0 patterns" in repr(topics)


async def test_limits(dialect: str) -> None:
    """The subscriptions of a login are limited; one that ends makes room."""
    async with using(dialect, max_subscriptions=2) as (_, mine, _ends):
        numbers = [await mine.subscribe_reference("chat.*", Ear()) for _ in range(2)]
        with pytest.raises(broker.ServerBusy, match=r"2 subscriptions \(max_subscriptions\)"):
            await mine.subscribe_reference("chat.*", Ear())
        await mine.unsubscribe(numbers[0])
        await mine.subscribe_reference("chat.*", Ear())


async def test_a_slow_reader(dialect: str) -> None:
    """A reader that does not read loses its subscription, and not its connection."""
    async with using(dialect) as (topics, mine, _):
        stream = aiter(mine.subscribe("chat.*", most=5, since=broker.Since.ALL))
        topics.publish("chat.a", 0)
        assert (await anext(stream)).data == 0
        for number in range(3000):
            topics.publish("chat.a", number)
        seen = 0
        with pytest.raises(broker.TooSlow, match=r"5 messages waiting for 'chat\.\*'"):
            async for _item in stream:
                seen += 1
        assert seen < 3000
        await mine.publish("chat.a", 1)
