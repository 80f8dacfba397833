"""The pump: turns of bounded length, and writes that are as few as they can be."""

from __future__ import annotations

from typing import Any

import pytest
from memory import BrokerPair

from broker.core.policy import STRICT
from broker.errors import ConnectionDone
from broker.failure import Failure
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
    pair.server.say_goodbye("draining", "the server is shutting down")
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
