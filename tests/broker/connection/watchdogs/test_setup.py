"""Expectations: what must come in time."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler

from broker.connection.watchdogs.setup import SetupTimeouts
from broker.errors import PBConnectionLost


class Line:
    """A connection that is set up."""

    is_reading = True

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.ended_by: list[Any] = []
        self.timeouts = SetupTimeouts(self)

    def abort(self, error: Exception) -> None:
        """Take note of the end."""
        self.ended_by.append(error)


def test_what_does_not_come() -> None:
    """After its time, and not before, the connection is given up, with these words."""
    line = Line()
    line.timeouts.begin(line.scheduler, "offer", 10)
    line.scheduler.advance(9)
    assert not line.ended_by
    line.scheduler.advance(2)
    (error,) = line.ended_by
    assert (error.limit, error.most) == ("offer_timeout", 10)
    assert type(error) is PBConnectionLost
    assert str(error) == "no Perspective Broker offer in 10 s; is this a TLS port?"


def test_what_comes() -> None:
    """What was met has no timer left, nor has what was never expected."""
    line = Line()
    timeouts = line.timeouts
    timeouts.begin(line.scheduler, "offer", 10)
    timeouts.add("login", 10)
    timeouts.done("offer")
    timeouts.done("never asked for")
    assert (timeouts.names, line.scheduler.waiting) == (("login",), 1)
    timeouts.done("login")
    assert (timeouts.names, line.scheduler.waiting) == ((), 0)
    timeouts.add("login", 10)
    timeouts.clear()
    assert (timeouts.names, line.scheduler.waiting) == ((), 0)
    line.scheduler.advance(100)
    assert not line.ended_by


def test_from_when_there_is_a_clock() -> None:
    """What was expected before counts from when the connection begins."""
    line = Line()
    line.timeouts.add("login", 30)
    line.scheduler.advance(100)
    line.timeouts.begin(line.scheduler, "offer", 10)
    line.timeouts.done("offer")
    line.scheduler.advance(29)
    assert not line.ended_by
    line.scheduler.advance(2)
    assert [(str(error), error.limit) for error in line.ended_by] == [
        ("login not completed in 30 s", "login_timeout")
    ]


@pytest.mark.parametrize("seconds", [3, 10, 30])
def test_one_timer(seconds: int) -> None:
    """Two steps have one timer; each is late after its own time, whichever comes first."""
    line = Line()
    line.timeouts.begin(line.scheduler, "offer", 10)
    line.scheduler.advance(2)
    line.timeouts.add("login", seconds)
    assert line.scheduler.waiting == 1
    line.scheduler.advance(min(8, seconds) - 0.5)
    assert line.ended_by == []
    line.scheduler.advance(1)
    first = "login" if seconds == 3 else "offer"
    assert [error.limit for error in line.ended_by] == [f"{first}_timeout"]
    line.scheduler.advance(max(8, seconds) - min(8, seconds))
    second = "offer" if first == "login" else "login"
    assert [error.limit for error in line.ended_by] == [f"{first}_timeout", f"{second}_timeout"]
    assert line.scheduler.waiting == 0


@pytest.mark.parametrize(("stops", "lasts"), [(5, 100), (5, 2), (9, 20), (1, 9)])
def test_what_is_not_read_cannot_come(stops: int, lasts: int) -> None:
    """Time in which nothing is read does not count, whether the timer goes off in it or not."""
    line = Line()
    line.timeouts.begin(line.scheduler, "offer", 10)
    line.scheduler.advance(stops)
    line.is_reading = False
    for _ in range(lasts):
        line.scheduler.advance(1)
    line.is_reading = True
    line.timeouts.allow(lasts)
    # What is expected from now on has its whole time.
    line.timeouts.add("login", 10)
    line.scheduler.advance(10 - stops - 0.5)
    assert line.ended_by == []
    line.scheduler.advance(1)
    assert [error.limit for error in line.ended_by] == ["offer_timeout"]
    line.scheduler.advance(stops - 1)
    assert [error.limit for error in line.ended_by] == ["offer_timeout"]
    line.scheduler.advance(1)
    assert [error.limit for error in line.ended_by] == ["offer_timeout", "login_timeout"]
    assert line.scheduler.waiting == 0
