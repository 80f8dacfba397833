"""Subscription: what becomes of events for a slow subscriber, and what it is told of its losses."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.memory import BrokerPair

from broker.core.policy import PUBLISHED, STRICT
from broker.errors import CannotJelly
from broker.flavors.cacheable import Cacheable, RemoteCache
from broker.flavors.copyable import register
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.subscribers import Delivery, Slow, Subscribers


def symbol(name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> Any:
    """Return the key of an event."""
    return args[0]


class Prices(Cacheable):
    """Events for caches; the end that has them fills a connection and drains it."""

    def __init__(self, subscribers: Subscribers, options: dict[str, Any]) -> None:
        self.subscribers = subscribers
        self.options = options

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.Follower"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Subscribe."""
        self.subscribers.add(observer, **self.options)
        return {"heard": []}


@register
class Follower(RemoteCache):
    """Notes what it hears, and what it is told that it has lost."""

    heard: list[Any]

    def observe_price(self, *event: Any) -> None:
        """Note."""
        self.heard.append(event)

    def observe_missed(self, number: int) -> None:
        """Note."""
        self.heard.append(number)


class Listener(Referenceable):
    """The same, by reference."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_price(self, *event: Any) -> None:
        """Note."""
        self.heard.append(event)

    def remote_missed(self, number: int) -> None:
        """Note."""
        self.heard.append(number)

    remote_lost = remote_missed


class Market(Root):
    """Takes subscribers of both kinds."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices

    def remote_follow(self) -> Any:
        """Give the cache out."""
        return self.prices

    def remote_listen(self, listener: Any) -> None:
        """Subscribe."""
        self.prices.subscribers.add(listener, **self.prices.options)


class World:
    """One subscriber whose connection takes nothing until a test says so."""

    def __init__(self, kind: str, policy: Any = STRICT, **options: Any) -> None:
        self.subscribers = Subscribers(key=symbol)
        self.pair = BrokerPair(Market(Prices(self.subscribers, options)), policy=policy)
        self.transport = self.pair.transport(self.pair.server)
        self.high_water = policy.high_water
        if kind == "reference":
            self.subscriber: Any = Listener()
            self.pair.call("listen", self.subscriber)
        else:
            self.subscriber = self.pair.call("follow")
        self.fill()

    def fill(self) -> None:
        """Send more than the high water mark, of which nothing is taken."""
        self.transport.unsent = self.high_water + 1
        self.send("x" * self.transport.unsent)

    def send(self, *event: Any) -> None:
        """Send an event, and let it arrive as far as it was written."""
        self.subscribers.send("price", *event)
        self.pair.exchange()

    def drain(self) -> None:
        """Take what is unsent."""
        self.transport.unsent = 0
        self.transport.on_drained()
        self.pair.exchange()

    @property
    def heard(self) -> list[Any]:
        """What arrived behind what filled the connection: events, and numbers of those lost."""
        return self.subscriber.heard[1:]


BOTH = pytest.mark.parametrize("kind", ["reference", "observer"])
EVERYWHERE = pytest.mark.parametrize(
    "policy", [STRICT, STRICT.but(dialects=("pb",)), PUBLISHED], ids=["msgpack", "pb", "published"]
)


@BOTH
@EVERYWHERE
@pytest.mark.parametrize(
    ("slow", "heard", "counts"),
    [
        (Slow.DROP_OLDEST, [2, ("A", 2), ("C", 1), ("A", 3)], (2, 0)),
        (Slow.DROP_NEWEST, [("A", 1), ("B", 1), ("A", 2), 2], (2, 0)),
        (Slow.CONFLATE, [1, ("B", 1), 1, ("C", 1), ("A", 3)], (0, 2)),
    ],
)
def test_losses_are_told(
    kind: str, policy: Any, slow: Slow, heard: list[Any], counts: tuple[int, int]
) -> None:
    """A slow subscriber gets what is left in order, and hears of each loss where it was."""
    world = World(kind, policy, slow=slow, most=3)
    for event in ("A", 1), ("B", 1), ("A", 2), ("C", 1), ("A", 3):
        world.send(*event)
    assert world.heard == []
    assert world.subscribers.delivery() == Delivery(1, *counts, 3)
    world.drain()
    assert world.heard == heard
    world.send("B", 2)
    assert world.heard == [*heard, ("B", 2)]
    assert world.subscribers.delivery() == Delivery(5, *counts, 0)


@BOTH
def test_a_loss_between_events(kind: str) -> None:
    """What was dropped while others waited is told behind those, and before what comes next."""
    world = World(kind, slow=Slow.DROP_NEWEST, most=3)
    for number in range(5):
        world.send("A", number, "y" * 50_000)
    write = world.transport.write

    def fill_again(data: bytes) -> None:
        write(data)
        world.transport.unsent = STRICT.high_water + 1

    world.transport.write = fill_again  # type: ignore[method-assign]
    world.drain()
    assert [event[1] for event in world.heard] == [0, 1]
    assert world.subscribers.delivery() == Delivery(sent=3, dropped=2, waiting=1)
    world.send("A", 5)
    world.transport.write = write  # type: ignore[method-assign]
    world.drain()
    assert [event[1] for event in world.heard[:3]] == [0, 1, 2]
    assert world.heard[3:] == [2, ("A", 5)]


@BOTH
def test_a_table_is_right_in_the_end(kind: str) -> None:
    """With CONFLATE the last value of each of 1,000 keys arrives, and no more than these wait."""
    world = World(kind, slow=Slow.CONFLATE, most=1)
    dice = random.Random(5)
    table = {}
    for number in range(20_000):
        key = dice.randrange(1000)
        table[key] = number
        world.subscribers.send("price", key, number)
    counts = world.subscribers.delivery()
    assert counts == Delivery(sent=1, conflated=20_000 - len(table), waiting=len(table))
    while world.subscribers.delivery().waiting:
        world.drain()
    events = [each for each in world.heard if type(each) is tuple]
    assert dict(events) == table
    assert [number for _, number in events] == sorted(table.values())
    assert sum(each for each in world.heard if type(each) is int) == counts.conflated


def test_conflation_needs_a_key() -> None:
    """Without a key for events nobody can conflate them."""
    world = World("reference")
    (reference,) = world.subscribers
    with pytest.raises(ValueError, match=r"^Slow.CONFLATE needs Subscribers\(key=…\)$"):
        Subscribers().add(reference, slow=Slow.CONFLATE)


def test_a_key_that_is_none() -> None:
    """What the key function raises, and a key that is not hashable, is raised; nothing is sent."""
    world = World("reference", slow=Slow.CONFLATE)
    for event, error in [((), IndexError), (([],), TypeError)]:
        with pytest.raises(error):
            world.subscribers.send("price", *event)
    world.drain()
    assert world.heard == []


def test_keywords_belong_to_the_method() -> None:
    """A keyword named key goes to the remote method, and the key function may read it."""
    subscribers = Subscribers(key=lambda name, args, kw: kw["key"])

    class Keyed(Referenceable):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def remote_price(self, value: int, key: str) -> None:
            self.heard.append((key, value))

    class Room(Root):
        def remote_join(self, listener: Any) -> None:
            subscribers.add(listener, slow=Slow.CONFLATE, missed=None)

    keyed = Keyed()
    pair = BrokerPair(Room())
    pair.call("join", keyed)
    transport = pair.transport(pair.server)
    transport.unsent = 1 << 20
    subscribers.send("price", 0, key="x" * 100_000)
    pair.exchange()
    for value in range(10):
        subscribers.send("price", value, key="ACME" if value % 2 else "EMCA")
    transport.unsent = 0
    transport.on_drained()
    pair.exchange()
    assert keyed.heard[1:] == [("EMCA", 8), ("ACME", 9)]


@pytest.mark.parametrize(("missed", "told"), [("lost", [2]), (None, [])])
def test_who_is_told(missed: Any, told: list[int], caplog: pytest.LogCaptureFixture) -> None:
    """The method that is told is chosen; with None nothing is called."""
    world = World("reference", slow=Slow.DROP_OLDEST, most=1, missed=missed)
    for number in range(3):
        world.send("A", number)
    world.drain()
    assert world.heard == [*told, ("A", 2)]
    assert caplog.records == []


@pytest.mark.parametrize("options", [{"missed": 5}, {"missed": b"missed"}, {"slow": "conflate"}])
def test_wrong_options(options: dict[str, Any]) -> None:
    """What is no name of a method, and no Slow, is a TypeError where it is given."""
    world = World("reference")
    (reference,) = world.subscribers
    with pytest.raises(TypeError):
        world.subscribers.add(reference, **options)
    with pytest.raises(TypeError, match="key= is a function of an event, not str"):
        Subscribers(key="symbol")  # type: ignore[arg-type]


@pytest.mark.parametrize("slow", [Slow.DROP_OLDEST, Slow.CONFLATE])
def test_an_event_that_nobody_can_get_is_no_loss(slow: Slow) -> None:
    """An event that its sender was told of is not counted as missed."""
    world = World("reference", slow=slow)
    other = BrokerPair(world.pair.server.localObjectForID("root"))
    listener = Listener()
    other.call("listen", listener)
    world.send("A", 1)
    with pytest.raises(CannotJelly):
        world.subscribers.send("price", "B", object())
    world.send("C", 1)
    world.drain()
    other.exchange()
    assert world.heard == listener.heard == [("A", 1), ("C", 1)]


@BOTH
def test_the_end_of_a_slow_subscriber(kind: str) -> None:
    """What waits when the connection ends is dropped, and nothing is kept."""
    world = World(kind, slow=Slow.CONFLATE)
    for number in range(10):
        world.send(number % 3, number)
    world.pair.cut()
    assert len(world.subscribers) == 0
    assert world.subscribers.delivery() == Delivery(sent=1, dropped=3, conflated=7)


@BOTH
def test_a_slow_subscriber_is_disconnected(kind: str) -> None:
    """With DISCONNECT its connection ends when one more event than may wait would."""
    world = World(kind, slow=Slow.DISCONNECT, most=3)
    for number in range(3):
        world.send("A", number)
    assert not world.transport.is_aborted
    world.send("A", 3)
    assert world.transport.is_aborted
    world.pair.cut()
    assert str(world.pair.server.reason) == "subscriber is slow (3 events waiting)"
    assert len(world.subscribers) == 0
