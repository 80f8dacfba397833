"""Keepalive: a silent peer is asked, and given up if it stays silent."""

from __future__ import annotations

import pytest
from memory import ManualScheduler

from broker.keepalive import Keepalive


class Line:
    """A peer's silence, and what was done about it."""

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.said: list[str] = []
        self.keepalive = Keepalive(
            self.scheduler,
            20.0,
            20.0,
            lambda: self.said.append("are you there?"),
            lambda error: self.said.append(str(error)),
        )


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


def test_stop() -> None:
    """Nothing is done once the connection has ended."""
    line = Line()
    line.keepalive.stop()
    line.scheduler.advance(100)
    assert line.said == []
