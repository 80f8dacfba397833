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
        self.limits: list[str] = []
        self.forgotten = 0
        self.keepalive = Keepalive(
            self.scheduler,
            20.0,
            20.0,
            lambda: self.said.append("are you there?"),
            self._give_up,
            self._forget,
        )

    def _give_up(self, error: Exception, limit: str) -> None:
        self.said.append(str(error))
        self.limits.append(limit)

    def _forget(self) -> None:
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
