"""Subscribers: who is told of events, and who is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import BrokerPair

from broker.core.policy import PUBLISHED, STRICT
from broker.core.wire.msgpack.writer import FrameWriter
from broker.errors import CannotJelly, PBConnectionLost, TooLarge
from broker.flavors.cacheable import Cacheable, RemoteCache
from broker.flavors.copyable import Copyable, register
from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.subscribers import Delivery, Slow, Subscribers


class Listener(Referenceable):
    """Hears events."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_event(self, *args: Any, **kw: Any) -> None:
        """Note."""
        self.heard.append((args, kw))


class Hub(Root):
    """Keeps subscribers."""

    def __init__(self, subscribers: Subscribers | None = None) -> None:
        self.subscribers = subscribers or Subscribers()
        self.last: Any = None

    def remote_subscribe(self, listener: Any) -> None:
        """Add one."""
        self.last = listener
        self.subscribers.add(listener)

    def remote_unsubscribe(self, listener: Any) -> None:
        """Take one out."""
        self.subscribers.discard(listener)


def test_events_reach_all() -> None:
    """Each subscriber of each connection is told once, in order."""
    hub = Hub()
    pairs = [BrokerPair(hub), BrokerPair(hub)]
    listeners = [Listener(), Listener()]
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.call("subscribe", listener)
        pair.call("subscribe", listener)
    assert len(hub.subscribers) == 2
    assert {reference.broker for reference in hub.subscribers} == {p.server for p in pairs}
    hub.subscribers.send("event", 1, k=2)
    hub.subscribers.send("event", 3)
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.exchange()
        assert listener.heard == [((1,), {"k": 2}), ((3,), {})]
        assert len(pair.server.session.outgoing.open_calls) == 0


def test_those_who_left_are_forgotten() -> None:
    """A subscriber whose connection ended, or who was taken out, is told nothing more."""
    hub = Hub()
    pair, other = BrokerPair(hub), BrokerPair(hub)
    stays, leaves = Listener(), Listener()
    pair.call("subscribe", stays)
    other.call("subscribe", leaves)
    other.cut()
    assert len(hub.subscribers) == 1
    hub.subscribers.send("event")
    pair.exchange()
    assert len(stays.heard) == 1
    pair.call("unsubscribe", stays)
    pair.call("unsubscribe", stays)
    assert len(hub.subscribers) == 0
    hub.last = None
    pair.collect()
    assert len(pair.client.session.translator.exports) == 0


def test_one_who_has_left_already() -> None:
    """A reference whose connection has ended is not added: nobody would ever forget it."""
    hub = Hub()
    pair = BrokerPair(hub)
    pair.call("subscribe", Listener())
    gone = hub.last
    pair.cut()
    hub.subscribers.add(gone)
    assert len(hub.subscribers) == 0


class Price(Cacheable):
    """A price that is followed by Subscribers."""

    def __init__(self) -> None:
        self.followers = Subscribers()
        self.options: dict[str, Any] = {}
        self.stopped: list[tuple[Any, int]] = []

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.Ticker"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Subscribe."""
        self.followers.add(observer, **self.options)
        return {"heard": []}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Note who is left."""
        self.stopped.append((observer, len(self.followers)))


@register
class Ticker(RemoteCache):
    """What a follower has."""

    heard: list[Any]

    def observe_event(self, *args: Any, **kw: Any) -> None:
        """Note."""
        self.heard.append((args, kw))


class Exchange(Root):
    """Hands out one price."""

    def __init__(self) -> None:
        self.price = Price()

    def remote_price(self) -> Any:
        """Return it."""
        return self.price


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb", "none"])
@pytest.mark.parametrize("value", [5, ["a", {"b": 1.5}], (1, 2)])
def test_followers_are_told(dialect: str, value: Any) -> None:
    """An observer is told as a reference is, and forgotten before stoppedObserving is called."""
    root = Exchange()
    pairs = [BrokerPair(root, policy=STRICT.but(dialects=(dialect,))) for _ in range(3)]
    tickers = [pair.call("price") for pair in pairs]
    followers = root.price.followers
    assert len(followers) == 3
    assert {observer.broker for observer in followers} == {pair.server for pair in pairs}
    followers.send("event", value, k=value)
    followers.send("event", value)
    for pair, ticker in zip(pairs, tickers, strict=True):
        pair.exchange()
        assert ticker.heard == [((value,), {"k": value}), ((value,), {})]
        assert len(pair.server.session.outgoing.open_calls) == 0
    pairs[0].cut()
    gone = next(iter(followers))
    del tickers[1], ticker
    pairs[1].collect()
    assert [left for _, left in root.price.stopped] == [2, 1]
    followers.send("event", 6)
    pairs[2].exchange()
    assert tickers[1].heard[2:] == [((6,), {})]
    assert followers.delivery() == Delivery(sent=7)
    followers.add(gone)
    assert len(followers) == 1


def test_a_follower_is_taken_out() -> None:
    """An observer that was discarded is told nothing more, and can be added again."""
    root = Exchange()
    pair = BrokerPair(root)
    ticker = pair.call("price")
    followers = root.price.followers
    (observer,) = followers
    followers.discard(observer)
    followers.discard(observer)
    followers.send("event", 1)
    followers.add(observer)
    followers.send("event", 2)
    pair.exchange()
    assert ticker.heard == [((2,), {})]
    pair.cut()
    assert root.price.stopped == [(observer, 0)]


def test_a_change_is_encoded_once(made: list[Any]) -> None:
    """However many follow, and however many references are told the same."""
    root, hub = Exchange(), Hub()
    kept = [BrokerPair(root, policy=STRICT).call("price") for _ in range(5)]
    BrokerPair(hub, policy=STRICT).call("subscribe", Listener())
    root.price.followers.add(hub.last)
    root.price.followers.send("event", 1)
    assert len(made) == 1
    assert len(kept) == 5


class Fragile(Copyable):
    """Cannot be sent: its hook raises."""

    def getStateToCopy(self) -> Any:
        """Raise."""
        raise KeyError("hook")


@pytest.mark.parametrize("policy", [STRICT, STRICT.but(dialects=("pb",)), PUBLISHED])
@pytest.mark.parametrize(
    ("value", "error"),
    [(object(), CannotJelly), (Fragile(), KeyError), ("x" * 20_000_000, TooLarge)],
)
def test_an_event_that_cannot_be_sent(
    policy: Any, value: Any, error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Its fault is raised to who sends it, once; nothing is logged, and the subscribers stay."""
    hub = Hub()
    pairs = [BrokerPair(hub, policy=policy) for _ in range(3)]
    listeners = [Listener() for _ in pairs]
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.call("subscribe", listener)
    with pytest.raises(error):
        hub.subscribers.send("event", value)
    assert caplog.records == []
    assert hub.subscribers.delivery() == Delivery(sent=0, dropped=3)
    hub.subscribers.send("event", 1)
    for pair in pairs:
        pair.exchange()
    assert [listener.heard for listener in listeners] == [[((1,), {})]] * 3


def test_an_event_that_some_can_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """An event that only some can get reaches these, and is logged once for all others."""
    hub = Hub()
    pairs = [BrokerPair(hub) for _ in range(4)]
    listeners = [Listener() for _ in pairs]
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.call("subscribe", listener)
    pairs[0].cut()
    hub.subscribers.send("event", hub.last)  # a reference, which only its own peer can get
    for pair in pairs[1:]:
        pair.exchange()
    assert [listener.heard for listener in listeners] == [[], [], [], [((listeners[3],), {})]]
    (record,) = caplog.records
    assert record.getMessage() == "event 'event' was not sent to 2 of 3 subscribers"
    assert hub.subscribers.delivery() == Delivery(sent=1, dropped=2)


class Slower:
    """A hub with one subscriber, whose connection takes nothing until a test says so."""

    def __init__(self, slow: Slow, most: int) -> None:
        self.hub = Hub()
        self.pair = BrokerPair(self.hub, policy=STRICT)
        self.listener = Listener()
        self.pair.call("subscribe", self.listener)
        self.reference = self.hub.last
        self.hub.subscribers.discard(self.reference)
        self.hub.subscribers.add(self.reference, slow=slow, most=most)
        self.transport = self.pair.transport(self.pair.server)

    def fill(self) -> None:
        """Send more than the high water mark, of which nothing is taken."""
        self.transport.unsent = STRICT.high_water + 1
        self.send("x" * self.transport.unsent)

    def send(self, *events: Any) -> None:
        """Send events, and let them arrive as far as they were written."""
        for event in events:
            self.hub.subscribers.send("event", event)
        self.pair.exchange()

    def drain(self) -> None:
        """Take what is unsent."""
        self.transport.unsent = 0
        self.transport.on_drained()
        self.pair.exchange()

    @property
    def heard(self) -> list[Any]:
        """The events that arrived, without what filled the connection."""
        return [args[0] for args, _ in self.listener.heard if len(str(args[0])) < 100]


def test_an_event_that_waits_and_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """For those whose events wait, a fault is found later, and logged once for each event."""
    world = Slower(Slow.DISCONNECT, 10)
    other = Listener()
    world.pair.call("subscribe", other)
    world.fill()
    world.hub.subscribers.send("event", object())
    world.hub.subscribers.send("event", 1)
    assert caplog.records == []
    world.drain()
    (record,) = caplog.records
    assert record.getMessage().startswith("event 'event' was not sent to a subscriber")
    assert record.exc_info is not None
    assert world.heard == [1]
    assert other.heard[1:] == [((1,), {})]


def test_a_fault_is_not_kept_for_those_who_wait() -> None:
    """An event that was raised waits for nobody."""
    world = Slower(Slow.DISCONNECT, 10)
    pair = BrokerPair(world.hub)
    pair.call("subscribe", Listener())
    world.fill()
    world.hub.subscribers.send("event", 1)
    with pytest.raises(CannotJelly):
        world.hub.subscribers.send("event", object())
    assert world.hub.subscribers.delivery() == Delivery(sent=3, dropped=2, waiting=1)


@pytest.mark.parametrize(
    ("slow", "kept"), [(Slow.DROP_OLDEST, [3, 4, 5]), (Slow.DROP_NEWEST, [1, 2, 3])]
)
def test_events_are_dropped_for_a_slow_subscriber(slow: Slow, kept: list[int]) -> None:
    """Of those beyond what may wait, the oldest or the newest; the rest comes in order."""
    world = Slower(slow, 3)
    world.fill()
    world.send(1, 2, 3, 4, 5)
    assert world.heard == []
    delivery = world.hub.subscribers.delivery
    assert delivery(world.reference) == delivery() == Delivery(sent=1, dropped=2, waiting=3)
    world.drain()
    assert world.heard == kept
    world.send(6)
    assert world.heard == [*kept, 6]
    assert delivery(world.reference) == delivery() == Delivery(sent=5, dropped=2)


def test_a_slow_subscriber_is_disconnected() -> None:
    """When one more event than may wait would, its connection ends; what waited is dropped."""
    world = Slower(Slow.DISCONNECT, 3)
    world.fill()
    world.send(1, 2, 3)
    assert not world.transport.is_aborted
    world.send(4)
    assert world.transport.is_aborted
    world.pair.cut()
    assert isinstance(world.pair.server.reason, PBConnectionLost)
    assert str(world.pair.server.reason) == "subscriber is slow (3 events waiting)"
    assert len(world.hub.subscribers) == 0
    assert world.hub.subscribers.delivery() == Delivery(sent=1, dropped=3)
    with pytest.raises(KeyError):
        world.hub.subscribers.delivery(world.reference)


def test_one_who_catches_up_only_for_a_moment() -> None:
    """What waits is sent until the connection is full again; the rest goes on waiting."""
    world = Slower(Slow.DROP_OLDEST, 100)
    world.fill()
    much = ["y" * 30_000] * 5
    world.send(*much)
    world.transport.unsent = 0
    write = world.transport.write

    def fill_again(data: bytes) -> None:
        write(data)
        world.transport.unsent = STRICT.high_water + 1

    world.transport.write = fill_again  # type: ignore[method-assign]
    world.transport.on_drained()
    assert world.hub.subscribers.delivery() == Delivery(sent=4, waiting=2)
    world.transport.write = write  # type: ignore[method-assign]
    world.drain()
    assert world.hub.subscribers.delivery() == Delivery(sent=6)
    assert [args for args, _ in world.listener.heard][1:] == [(each,) for each in much]


class Caller(Hub):
    """Tells its subscribers a lot while one of them has called it."""

    def remote_open(self) -> None:
        """Tell."""
        for number in range(10):
            self.subscribers.send("event", number, "z" * 50_000)


def test_one_who_is_told_by_its_own_call() -> None:
    """Events for whoever called the method that sends them are no more than those for others."""
    hub = Caller()
    pair = BrokerPair(hub, policy=STRICT)
    listener = Listener()
    pair.call("subscribe", listener)
    hub.subscribers.discard(hub.last)
    hub.subscribers.add(hub.last, slow=Slow.DROP_OLDEST, most=1)
    transport = pair.transport(pair.server)
    write = transport.write

    def fill(data: bytes) -> None:
        write(data)
        transport.unsent += len(data)

    transport.write = fill  # type: ignore[method-assign]
    pair.call("open")
    assert hub.subscribers.delivery() == Delivery(sent=2, dropped=7, waiting=1)
    transport.unsent = 0
    transport.on_drained()
    pair.exchange()
    assert [args[0] for args, _ in listener.heard] == [0, 1, 9]
    assert hub.subscribers.delivery() == Delivery(sent=3, dropped=7)


def test_at_least_one_may_wait() -> None:
    """A subscriber for whom nothing may wait could never be told anything."""
    world = Slower(Slow.DROP_OLDEST, 1)
    with pytest.raises(ValueError, match="most is 0: at least one event must be able to wait"):
        world.hub.subscribers.add(world.reference, most=0)


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb", "none"])
@pytest.mark.parametrize("value", [5, ["a", {"b": 1.5}], (1, 2), b"bytes", {1: 2}, 1 << 70])
def test_what_can_be_sent(dialect: str, value: Any) -> None:
    """An event carries what a call can, in each dialect, whether encoded once or for each."""
    hub = Hub()
    pairs = [BrokerPair(hub, policy=STRICT.but(dialects=(dialect,))) for _ in range(2)]
    listeners = [Listener(), Listener()]
    for pair, listener in zip(pairs, listeners, strict=True):
        # So that the objects have different ids.
        pair.call("subscribe", Listener())
        if pair is pairs[1]:
            pair.call("subscribe", Listener())
        pair.call("subscribe", listener)
    hub.subscribers.send("event", value, key=value)
    hub.subscribers.send("event", value)
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.exchange()
        assert listener.heard == [((value,), {"key": value}), ((value,), {})]


def test_an_object_goes_to_each_as_a_reference_of_its_own() -> None:
    """What is not plain is made anew for each connection."""
    hub = Hub()
    pairs = [BrokerPair(hub, policy=STRICT), BrokerPair(hub, policy=STRICT)]
    listeners = [Listener(), Listener()]
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.call("subscribe", listener)
    hub.subscribers.send("event", hub)
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.exchange()
        ((reference,), _) = listener.heard[0]
        assert reference.broker is pair.client


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The notices that have been encoded."""
    notices: list[Any] = []
    tail_of = FrameWriter._tail_of

    def counting(self: Any, notice: Any) -> bytes | None:
        notices.append(notice)
        return tail_of(self, notice)

    monkeypatch.setattr(FrameWriter, "_tail_of", counting)
    return notices


def test_an_event_is_encoded_once(made: list[Any]) -> None:
    """However many listen."""
    hub = Hub()
    for _ in range(5):
        BrokerPair(hub, policy=STRICT).call("subscribe", Listener())
    hub.subscribers.send("event", 1)
    assert len(made) == 1
