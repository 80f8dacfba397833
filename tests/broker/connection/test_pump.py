"""The pump: turns of bounded length, and writes that are as few as they can be."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import BrokerPair, ManualScheduler

from broker.connection import log
from broker.core.policy import STRICT
from broker.defer import Deferred
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.flavors.copyable import Copyable
from broker.flavors.referenceable import Root


class Slow(Root):
    """Takes time of the manual clock for each call.

    Attributes:
        seconds: how much.
        log: what was called.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.log: list[int] = []
        self.scheduler: Any = None

    def remote_note(self, number: int) -> None:
        """Take time, and note."""
        self.scheduler.clock += self.seconds
        self.log.append(number)


def turns_of(root: Slow, calls: int, **changes: Any) -> list[int]:
    """Return how many calls of a flood each turn of the server's loop handled."""
    pair = BrokerPair(root, policy=STRICT.but(**changes))
    root.scheduler = pair.scheduler
    for number in range(calls):
        pair.root.callRemote("note", number)
    pair.scheduler.run()
    data = pair.transport(pair.client).take()
    counts = []
    pair.server.dataReceived(data)
    while len(root.log) > sum(counts):
        counts.append(len(root.log) - sum(counts))
        pair.scheduler.step()
    assert root.log == list(range(calls))
    return counts


@pytest.mark.parametrize(
    ("seconds", "longest"),
    [
        (0.0, 64),  # as many as are allowed
        (0.01, 2),  # each takes longer than a turn: one, and one to see how long they take
        (0.001, 15),  # 1, 1, 2, 4 take 8 ms; a turn is over once 5 ms are
    ],
)
def test_a_turn_ends(seconds: float, longest: int) -> None:
    """After 64 messages, or near 5 ms after it began; what is left comes in the next turns."""
    counts = turns_of(Slow(seconds), 200)
    assert max(counts) <= longest
    assert len(counts) >= 200 // longest


def test_a_turn_of_ones_own_length() -> None:
    """Both bounds are settings."""
    assert turns_of(Slow(0.0), 20, turn_messages=8) == [8, 8, 4]
    assert max(turns_of(Slow(0.01), 20, turn_time=1.0)) == 20


def blocked(seconds: float, calls: int, caplog: Any, **but: Any) -> list[str]:
    """Make calls of a method that takes so long, and return what is logged of it."""
    turns_of(Slow(seconds), calls, **but)
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_method_that_blocks_the_loop(caplog: Any) -> None:
    """A plain method that takes more than a second is named in a warning, each time."""
    warned = blocked(1.5, 2, caplog)
    assert len(warned) == 2
    assert warned[0].startswith("remote method 'note' blocked the event loop for 1.5 s; make long")


def test_methods_that_block_the_loop_together(caplog: Any) -> None:
    """Of several in one slice of a turn the number and the last are told."""
    warned = blocked(0.3, 8, caplog, turn_time=60.0)
    assert warned[0].startswith("4 calls of remote methods, the last of 'note', blocked the event")
    assert "for 1.2 s" in warned[0]


def test_methods_that_are_quick_enough(caplog: Any) -> None:
    """Methods that take a second, and many that take less in turns of their own, are no fault."""
    assert blocked(1.0, 3, caplog) == []
    assert blocked(0.1, 50, caplog) == []


class Large(Slow):
    """Takes time for calls with large arguments, and for making large results."""

    def remote_take(self, values: Any) -> int:
        """Take time."""
        self.scheduler.clock += self.seconds
        return len(values)

    def remote_later(self) -> Deferred[Any]:
        """Return what a test fires."""
        self.later: Deferred[Any] = Deferred()
        return self.later


class Item(Copyable):
    """Takes time when it is written."""

    def __init__(self, root: Slow):
        self.root = root

    def getStateToCopyFor(self, perspective: Any) -> Any:
        """Take time, and return nothing."""
        self.root.scheduler.clock += self.root.seconds
        return {}


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
@pytest.mark.parametrize(("seconds", "count"), [(1.5, 1), (0.5, 0)])
def test_a_method_with_large_arguments(
    caplog: Any, dialect: str, seconds: float, count: int
) -> None:
    """It is named too, though its arguments were read in turns before."""
    root = Large(seconds)
    pair = BrokerPair(root, policy=STRICT.but(dialects=(dialect,)))
    root.scheduler = pair.scheduler
    assert pair.call("take", [[number] for number in range(20_000)]) == 20_000
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warned) == count
    assert all(text.startswith("remote method 'take' blocked the event loop") for text in warned)


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
def test_slices_are_no_methods(caplog: Any, dialect: str) -> None:
    """The time that large answers take, in turns of their own, is not told as a method's."""
    root = Large(0.5)
    pair = BrokerPair(root, policy=STRICT.but(dialects=(dialect,)))
    root.scheduler = pair.scheduler
    asked = pair.root.callRemote("later")
    pair.exchange()
    root.later.callback([Item(root) for _ in range(500)])
    assert asked.called is False
    pair.exchange()
    assert asked.called
    assert root.scheduler.clock == 250
    assert [each for each in caplog.records if each.levelname == "WARNING"] == []
    asked.addErrback(lambda _: None)


class Counting(ManualScheduler):
    """Counts how often the clock is read."""

    reads = 0

    def now(self) -> float:
        """Count."""
        self.reads += 1
        return super().now()


@pytest.mark.parametrize(("dialect", "most"), [("pb", 2), ("msgpack/1", 2)])
def test_a_small_call_reads_the_clock_twice(dialect: str, most: int) -> None:
    """Before and after the method; where the dialect has pings, the former is needed anyway."""
    scheduler = Counting()
    root = Slow(0.0)
    root.scheduler = scheduler
    pair = BrokerPair(root, policy=STRICT.but(dialects=(dialect,)), scheduler=scheduler)
    asked = pair.root.callRemote("note", 1)
    data = pair.transport(pair.client).take()
    scheduler.reads = 0
    pair.server.dataReceived(data)
    assert scheduler.reads == most
    data = pair.transport(pair.server).take()
    scheduler.reads = 0
    pair.client.dataReceived(data)
    assert (asked.called, scheduler.reads) == (True, 1)


def test_what_is_logged_of_methods_is_rationed(caplog: Any) -> None:
    """The warning of a connection counts as all its records do, and is one printable line."""
    pair = BrokerPair(Slow(0.0))
    for _ in range(1000):
        log.blocked(pair.server, "x\n" * 100, 1, 2.0)
    assert 0 < len(caplog.records) < 300
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_what_is_not_sent_is_rationed(caplog: Any) -> None:
    """So it is with the records of calls without answer that could not be sent."""
    pair = BrokerPair(Slow(0.0))
    for _ in range(1000):
        pair.root.callRemote("x\n", object(), pbanswer=False)
    assert 0 < len(caplog.records) < 300
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_answers_that_wait_for_their_turn_when_the_peer_goes() -> None:
    """What came before the end is true: calls end as they were answered, however many there are."""
    root = Slow(0.0)
    pair = BrokerPair(root, policy=STRICT.but(turn_messages=2))
    root.scheduler = pair.scheduler
    asked = [pair.root.callRemote("note", number) for number in range(20)]
    ends: list[Any] = []
    for deferred in asked:
        deferred.addBoth(ends.append)
    pair.scheduler.run()
    pair.server.dataReceived(pair.transport(pair.client).take())
    pair.scheduler.run()
    pair.server.leave("draining", "the server is shutting down")
    # All answers, and the goodbye, arrive with the end behind them.
    pair.client.dataReceived(pair.transport(pair.server).take())
    assert len(ends) < 20
    pair.client.notifyOnDisconnect(lambda: ends.append("the end"))
    pair.client.connectionLost(Failure(ConnectionDone()))
    assert len(ends) < 20
    pair.scheduler.run()
    assert ends == [None] * 20 + ["the end"]
    assert str(pair.client.reason) == "the peer closed the connection: the server is shutting down"
    pair.cut()


def test_calls_that_wait_for_their_turn_when_the_peer_goes() -> None:
    """They are not made: nobody is left whom they could be answered."""
    root = Slow(0.0)
    pair = BrokerPair(root, policy=STRICT.but(turn_messages=2))
    root.scheduler = pair.scheduler
    for number in range(20):
        pair.root.callRemote("note", number).addErrback(lambda _: None)
    pair.scheduler.run()
    pair.server.dataReceived(pair.transport(pair.client).take())
    pair.cut()
    assert root.log == [0, 1]


def test_nothing_is_written_after_the_end() -> None:
    """A pump that has stopped asks for no turns, and flushes nothing."""
    pair = BrokerPair(Slow(0.0))
    written = len(pair.transport(pair.server).writes)
    pair.cut()
    for act in (pair.server.flush, pair.server.soon_flush, pair.server.pump.flush_later):
        act()
    pair.server.on_released()
    assert not pair.scheduler.step()
    assert len(pair.transport(pair.server).writes) == written


def test_congestion() -> None:
    """It is found out when much is written, and is over when the peer has taken it."""
    pair = BrokerPair(Slow(0.0))
    pump, transport = pair.client.pump, pair.transport(pair.client)
    assert not pump.is_congested
    transport.unsent = STRICT.high_water + 1
    pair.root.callRemote("note", 0, much="x" * transport.unsent).addErrback(lambda _: None)
    assert pump.is_congested
    transport.unsent = STRICT.high_water
    assert not pump.is_congested
    transport.unsent = 0
    pair.client.flush()
    assert not pump.is_congested
