"""Keepalive: a silent peer is asked, and given up if it stays silent."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler

from broker.connection.watchdogs.keepalive import Keepalive


class Line:
    """A peer's silence, and what was done about it."""

    is_reading = True
    is_behind = False
    taken = -1

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.said: list[str] = []
        self.limits: list[str] = []
        self.forgotten = 0
        self.keepalive = Keepalive(
            self.scheduler,
            20.0,
            20.0,
            self,
            self,
            self,
        )

    def keep_alive(self) -> None:
        """Take note of a ping."""
        self.said.append("are you there?")

    def abort(self, error: Any) -> None:
        """Take note of the end."""
        self.said.append(str(error))
        self.limits.append(error.limit)

    def forget_pings(self) -> None:
        """Take note that the pings of the peer are not counted any more."""
        self.forgotten += 1


@pytest.mark.row("B12")
def test_silence() -> None:
    """A ping after 20 s, the end after 20 s more."""
    line = Line()
    line.scheduler.advance(19.9)
    assert line.said == []
    line.scheduler.advance(0.2)
    assert line.said == ["are you there?"]
    line.scheduler.advance(19)
    assert line.said == ["are you there?"]
    line.scheduler.advance(1.1)
    assert line.said == ["are you there?", "no data from peer for 40 s"]
    assert line.limits == ["ping_timeout"]
    assert line.scheduler.waiting == 0


def test_an_answer() -> None:
    """Any byte is an answer; the next silence is asked about again."""
    line = Line()
    line.scheduler.advance(20.1)
    line.keepalive.last_heard = line.keepalive.now()
    line.scheduler.advance(19)
    assert line.said == ["are you there?"]
    line.scheduler.advance(2)
    assert line.said == ["are you there?"] * 2


def test_talk() -> None:
    """Nobody asks a peer that talks."""
    line = Line()
    for _ in range(20):
        line.scheduler.advance(10)
        line.keepalive.last_heard = line.keepalive.now()
    assert line.said == []
    # 200 s have passed: never earlier than after 20 s, nor as late as after 40.
    assert 5 < line.forgotten <= 10


def test_stop() -> None:
    """Nothing is done once the connection has ended."""
    line = Line()
    line.keepalive.stop()
    line.scheduler.advance(100)
    assert line.said == []


def test_what_is_not_read_cannot_be_heard() -> None:
    """Time in which nothing is read is no silence, whenever it begins and ends."""
    for stops, lasts in [(1, 500), (19, 2), (21, 30), (39, 500), (39, 1)]:
        line = Line()
        for second in range(stops + lasts):
            line.is_reading = second < stops
            line.scheduler.advance(1)
        line.is_reading = True
        line.keepalive.allow(lasts)
        rest = 40 - stops
        for _ in range(rest - 1):
            line.scheduler.advance(1)
        assert line.limits == [], (stops, lasts)
        for _ in range(3):
            line.scheduler.advance(1)
        assert line.limits == ["ping_timeout"], (stops, lasts)


def test_a_pause_between_two_looks() -> None:
    """It counts as little as one that a look falls into."""
    line = Line()
    line.scheduler.advance(20)
    line.scheduler.advance(19)
    line.keepalive.allow(19)
    line.scheduler.advance(18)
    assert line.limits == []


@pytest.mark.parametrize("name", ["is_reading", "is_behind"])
def test_who_cannot_answer_yet_says_that_it_is_there(name: str) -> None:
    """A peer whose own question waits here hears something, though not all the time."""
    line = Line()
    setattr(line, name, name == "is_behind")
    for _ in range(100):
        line.keepalive.last_heard = line.keepalive.now()
        line.scheduler.advance(1)
    assert 3 <= len(line.said) <= 5
    assert set(line.said) == {"are you there?"}


def test_a_peer_that_takes_what_was_sent_before_the_question() -> None:
    """It is not given up as long as it does; then its silence begins."""
    line = Line()
    for second in range(200):
        line.taken = second
        line.scheduler.advance(1)
    assert line.limits == []
    for _ in range(100):
        line.scheduler.advance(1)
    assert line.limits == ["ping_timeout"]


def test_a_peer_whose_kernel_takes_everything() -> None:
    """Where nothing is unsent, what was written says nothing of the peer."""
    line = Line()
    for second in range(60):
        line.taken = second if second % 20 < 15 else -1
        line.scheduler.advance(1)
    assert line.limits == ["ping_timeout"]
