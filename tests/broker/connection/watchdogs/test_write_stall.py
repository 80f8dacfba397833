"""Patience: a peer that does not read is given up, one that reads slowly is not."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler

from broker.connection.watchdogs.write_stall import WriteStallWatchdog
from broker.core.policy import STRICT
from broker.core.stats import Stats

CAP = STRICT.max_unsent


class Line:
    """What waits for a peer, and what has been said of it."""

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.unsent = 0
        self.stats = Stats()
        self.said: list[str] = []
        self.limits: list[str] = []
        self.numbers: Any = None
        self.patience = WriteStallWatchdog(
            self.scheduler,
            STRICT,
            lambda: self.unsent,
            self.stats,
            self._on_timeout,
        )

    def _on_timeout(self, error: Any) -> None:
        self.said.append(str(error))
        self.limits.append(error.limit)
        self.numbers = error.most, error.got

    def write(self, size: int) -> None:
        """Write, to a kernel that takes nothing for now."""
        self.stats.bytes_sent += size
        self.unsent += size
        self.patience.watch()


def test_a_burst_is_taken_in_time() -> None:
    """More than the cap in one go is no fault of a peer that reads."""
    line = Line()
    line.write(4 * CAP)
    for _ in range(20):
        line.unsent -= CAP // 5
        line.scheduler.advance(1)
    assert line.said == []


@pytest.mark.row("B13")
def test_above_the_cap_nothing_taken() -> None:
    """A peer that takes nothing of more than the cap is given up within two seconds."""
    line = Line()
    line.write(CAP + 1)
    line.scheduler.advance(2)
    assert line.said == [f"peer is not reading ({CAP + 1} bytes unsent)"]
    assert line.limits == ["max_unsent"]
    assert line.numbers == (CAP, CAP + 1)


def test_too_slow_for_what_is_sent() -> None:
    """A peer that takes a little, and stays above the cap, is given up after stall_timeout."""
    line = Line()
    line.write(2 * CAP)
    for _ in range(29):
        line.unsent -= 10
        line.scheduler.advance(1)
    assert line.said == []
    line.scheduler.advance(2)
    assert line.said == [f"peer is not reading ({line.unsent} bytes unsent)"]


def test_below_the_cap_nothing_taken() -> None:
    """A peer that takes nothing of a little is given up after stall_timeout, and not before."""
    line = Line()
    line.write(STRICT.high_water + 1)
    line.scheduler.advance(29)
    assert line.said == []
    line.scheduler.advance(2)
    assert line.said == [f"peer is not reading ({STRICT.high_water + 1} bytes unsent)"]
    assert line.limits == ["stall_timeout"]
    assert line.numbers == (30.0, 31.0)


def test_progress_buys_time() -> None:
    """Each byte that is taken begins the time anew; little unsent ends the looking."""
    line = Line()
    line.write(STRICT.high_water + 100)
    for _ in range(3):
        line.scheduler.advance(25)
        line.unsent -= 10
    line.unsent = 5
    line.scheduler.advance(60)
    assert line.said == []
    assert line.scheduler.waiting == 0


def test_stop() -> None:
    """Nothing is said of a connection that has ended."""
    line = Line()
    line.patience.stop()
    line.write(CAP + 1)
    line.patience.stop()
    line.scheduler.advance(60)
    assert line.said == []
