"""The followers of a table: what waits for the slow, the messages they get, and the first state."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from support.followed_world import BOTH, BOTH_IDS, Library, Line
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT, Policy
from broker.flavors.table_followers import TableFollower

EACH = pytest.mark.parametrize("policy", BOTH, ids=BOTH_IDS)


def followers_of(table: broker.Table[Any, Any]) -> list[Any]:
    """Return the followers."""
    return list(table._followers)


# Slow followers.


@EACH
def test_the_last_value_of_each_key(policy: Policy) -> None:
    """A slow follower gets it, whatever changed meanwhile, and no key is skipped."""
    table: broker.Table[int, Any] = broker.Table(dict.fromkeys(range(1000), 0))
    line = Line(Library(table), policy)
    view = line.follow()
    line.stall()
    table[1] = "x" * 60_000
    table[2] = "x" * 60_000
    for round_ in range(3):
        for number in range(1000):
            table[number] = round_ + number
    table["new"] = 1
    del table[500]
    (follower,) = followers_of(table)
    assert follower.waiting == 1001
    line.flow()
    assert dict(view) == dict(table)
    assert view.is_current
    assert followers_of(table)[0].waiting == 0


@EACH
@pytest.mark.parametrize(
    "value",
    [
        lambda number: number,
        lambda number: "é" * (number % 300),
        lambda number: [None] * (number % 60),
        lambda number: {"k": (number,)},
        lambda number: 1 << 200,
        lambda number: b"x" * (number % 7000),
    ],
    ids=["ints", "texts", "lists", "dicts", "large ints", "bytes"],
)
def test_messages_of_at_most_65536_bytes(policy: Policy, value: Callable[[int], Any]) -> None:
    """What a slow follower gets comes in such messages, in each dialect."""
    table: broker.Table[int, Any] = broker.Table()
    line = Line(Library(table), policy)
    view = line.follow()
    line.stall()
    table["fill 1"] = table["fill 2"] = "x" * 60_000
    for number in range(20_000):
        table[number] = value(number) if number % 10 == 0 else number
    sizes: list[int] = []
    outbox = line.pair.server.session.outbox
    kept = outbox.unsent.append

    class Unsent:
        """Notes the size of each message."""

        def __getattr__(self, name: str) -> Any:
            return getattr(unsent, name)

        def append(self, piece: bytes) -> None:
            sizes.append(len(piece))
            kept(piece)

    unsent = outbox.unsent
    outbox.unsent = Unsent()  # type: ignore[assignment]
    line.flow()
    assert len(sizes) > 2
    assert max(sizes) <= 65_536
    assert max(sizes) > 20_000
    assert dict(view) == dict(table)


def test_the_view_knows_that_it_is_behind() -> None:
    """While it catches up it is not current, and its position stays until the last message."""
    table: broker.Table[int, Any] = broker.Table()
    line = Line(Library(table))
    view = line.follow()
    for number in range(400):
        table[number] = "a" * 1000
    line.exchange()
    line.stall()
    for number in range(400):
        table[number] = "b" * 1000
    # Until the connection was slow, each change went out at once.
    line.sip()
    position = view.position
    states: list[bool] = []
    while view.position != table.position:
        line.sip()
        states.append(view.is_current)
        mixed = {value[0] for value in view.values()}
        if not view.is_current:
            assert view.position == position
            assert mixed == {"a", "b"}
    assert states.count(False) >= 2
    assert view.is_current
    assert view.position == table.position
    assert set(view.values()) == {"b" * 1000}


@EACH
def test_keys_that_come_and_go(policy: Policy) -> None:
    """Keys that are added and removed while a follower is slow do not wait for it."""
    table: broker.Table[int, Any] = broker.Table(dict.fromkeys(range(10), 0))
    line = Line(Library(table), policy.but(high_water=100))
    view = line.follow()
    line.stall()
    table[0] = "x" * 200
    for number in range(10_000):
        table[number] = 1
        del table[number]
    (follower,) = followers_of(table)
    assert follower.waiting <= 10
    line.flow()
    assert dict(view) == {}
    assert view.position == table.position
    assert view.is_current


@EACH
def test_memory_of_a_follower_that_has_stopped(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    """100,000 changes of 1,000 keys cost less than 2 MiB, and no record."""
    table: broker.Table[int, int] = broker.Table(dict.fromkeys(range(1000), 0))
    line = Line(Library(table), policy)
    view = line.follow()
    line.stall()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100_000):
            table[number % 1000] = number
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2 * 1024 * 1024
    assert line.unsent < STRICT.high_water + 65_536
    assert followers_of(table)[0].waiting == 1000
    line.flow()
    assert dict(view) == dict(table)
    assert caplog.records == []


def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that leaves those that wait before its value is sent is missed by these tests."""
    kept = TableFollower._some

    def clears_too_early(self: Any, dirty: Any, most: int) -> Any:
        broadcast, keys = kept(self, dirty, most)
        return broadcast, list(dirty)[: len(keys) + 1]

    monkeypatch.setattr(TableFollower, "_some", clears_too_early)
    with pytest.raises(AssertionError):
        test_the_view_knows_that_it_is_behind()
    with pytest.raises(AssertionError):
        test_messages_of_at_most_65536_bytes(STRICT, lambda number: "y" * (number % 300))


# The first state.


@EACH
def test_a_table_larger_than_a_frame(policy: Policy) -> None:
    """The first state has at most 1 MiB, and the rest follows."""
    table: broker.Table[int, str] = broker.Table(dict.fromkeys(range(300), "x" * 60000))
    line = Line(Library(table), policy)
    line.stall()
    deferred = line.pair.root.callRemote("get", 0)
    views: list[Any] = []
    deferred.addCallback(views.append)
    line.exchange()
    table[0] = "changed"
    table[299] = "changed"
    del table[298]
    line.sip()
    (view,) = views
    assert 0 < len(view) < 18
    assert not view.is_current
    line.flow()
    assert dict(view) == dict(table)
    assert view.is_current


@EACH
@pytest.mark.parametrize("value", [[0] * 900, None, {"k": 0}], ids=["lists", "none", "dicts"])
def test_a_table_of_many_elements(policy: Policy, value: Any) -> None:
    """The first state has few enough elements for any peer."""
    table = broker.Table(dict.fromkeys(range(100000 if value is None else 3000), value))
    line = Line(Library(table), policy.but(limits=policy.limits.but(max_nodes=500_000)))
    view = line.follow()
    line.flow()
    assert dict(view) == dict(table)


def test_a_peer_with_small_limits() -> None:
    """The first state and the messages fit them."""
    table = broker.Table(dict.fromkeys(range(3000), "x" * 300))
    small = STRICT.but(limits=STRICT.limits.but(max_expression=65_536, max_nodes=2_000))
    pair = BrokerPair(Library(table), policy=STRICT, client_policy=small)
    view = pair.call("get")
    pair.exchange()
    assert dict(view) == dict(table)
    with table.batch():
        for number in range(3000):
            table[number] = "y" * 300
    pair.exchange()
    assert dict(view) == dict(table)
    assert view.is_current


# What it costs.


def calls_of(action: Callable[[], object]) -> int:
    """Count the calls of functions that an action makes."""
    found = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return found


class Shelf(broker.Cacheable):
    """Tells Subscribers of its changes."""

    def __init__(self) -> None:
        self.subscribers = broker.Subscribers()

    def getTypeToCopy(self) -> str:
        """Be called as the view of a board is."""
        return "followed_world.Board"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Subscribe."""
        self.subscribers.add(observer)
        return {"pieces": {}}


@EACH
def test_a_change_costs_as_much_as_an_event(policy: Policy) -> None:
    """To send 50 changes to 100 followers takes at most 1.1 times the calls of Subscribers."""
    table: broker.Table[str, float] = broker.Table()
    shelf = Shelf()
    pairs = [BrokerPair(Library(table, shelf), policy=policy) for _ in range(100)]
    kept = [[pair.call("get", number) for number in range(2)] for pair in pairs]

    def change() -> None:
        for number in range(50):
            table[f"k{number}"] = 1.5

    def send() -> None:
        for number in range(50):
            shelf.subscribers.send("put", f"k{number}", 1.5)

    changed, sent = calls_of(change), calls_of(send)
    assert changed <= 1.1 * sent
    for pair in pairs:
        pair.exchange()
    assert all(dict(view) == board.pieces for view, board in kept)
