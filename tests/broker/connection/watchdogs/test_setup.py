"""Expectations: what must come in time."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler

from broker.connection.watchdogs.setup import SetupTimeouts
from broker.errors import PBConnectionLost


@pytest.fixture
def given_up() -> list[Any]:
    """What ended the connection."""
    return []


def test_what_does_not_come(given_up: list[Any]) -> None:
    """After its time, and not before, the connection is given up, with these words."""
    scheduler = ManualScheduler()
    timeouts = SetupTimeouts(given_up.append)
    timeouts.begin(scheduler, lambda: True)
    timeouts.add("offer", 10)
    scheduler.advance(9)
    assert not given_up
    scheduler.advance(2)
    (error,) = given_up
    assert (error.limit, error.most) == ("offer_timeout", 10)
    assert type(error) is PBConnectionLost
    assert str(error) == "no Perspective Broker offer in 10 s; is this a TLS port?"


def test_what_comes(given_up: list[Any]) -> None:
    """What was met has no timer left, nor has what was never expected."""
    scheduler = ManualScheduler()
    timeouts = SetupTimeouts(given_up.append)
    timeouts.begin(scheduler, lambda: True)
    timeouts.add("offer", 10)
    timeouts.add("login", 10)
    timeouts.done("offer")
    timeouts.done("never asked for")
    assert scheduler.waiting == 1
    timeouts.clear()
    assert scheduler.waiting == 0
    scheduler.advance(100)
    assert not given_up


def test_from_when_there_is_a_clock(given_up: list[Any]) -> None:
    """What was expected before counts from when the connection begins."""
    scheduler = ManualScheduler()
    timeouts = SetupTimeouts(given_up.append)
    timeouts.add("login", 30)
    scheduler.advance(100)
    timeouts.begin(scheduler, lambda: True)
    scheduler.advance(29)
    assert not given_up
    scheduler.advance(2)
    assert [(str(error), error.limit) for error in given_up] == [
        ("login not completed in 30 s", "login_timeout")
    ]


@pytest.mark.parametrize(("stops", "lasts"), [(5, 100), (5, 2), (9, 20), (1, 9)])
def test_what_is_not_read_cannot_come(given_up: list[Any], stops: int, lasts: int) -> None:
    """Time in which nothing is read does not count, whether the timer goes off in it or not."""
    scheduler = ManualScheduler()
    timeouts = SetupTimeouts(lambda error: given_up.append(error.limit))
    is_reading = True
    timeouts.begin(scheduler, lambda: is_reading)
    timeouts.add("offer", 10)
    scheduler.advance(stops)
    is_reading = False
    for _ in range(lasts):
        scheduler.advance(1)
    is_reading = True
    timeouts.allow(lasts)
    # What is expected from now on has its whole time.
    timeouts.add("login", 10)
    scheduler.advance(10 - stops - 0.5)
    assert given_up == []
    scheduler.advance(1)
    assert given_up == ["offer_timeout"]
    scheduler.advance(stops - 1)
    assert given_up == ["offer_timeout"]
    scheduler.advance(1)
    assert given_up == ["offer_timeout", "login_timeout"]
    assert scheduler.waiting == 0
