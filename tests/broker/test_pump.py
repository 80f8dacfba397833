"""The pump: turns of bounded length, and writes that are as few as they can be."""

from __future__ import annotations

from typing import Any

import pytest
from memory import BrokerPair

from broker.core.policy import STRICT
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
