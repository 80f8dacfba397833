"""The ration: a source that causes many lines gets ten of them a second, and one that counts."""

from __future__ import annotations

import logging

import pytest
from memory import ManualScheduler

from broker.net.addresses import Address, IPv4Address, UNIXAddress
from broker.net.ration import Ration

HERE = IPv4Address("TCP", "198.51.100.7", 1)
logger = logging.getLogger("broker.server")


@pytest.fixture
def clock() -> ManualScheduler:
    """A clock that stands still."""
    return ManualScheduler()


def complain(ration: Ration, times: int, address: Address = HERE) -> None:
    """Cause lines."""
    for _ in range(times):
        ration.warn(logger, address, "%s: %s", address, "no")


def test_few_lines_are_logged(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Ten a second are logged as they are, and no timer runs."""
    ration = Ration(10, clock)
    for _ in range(3):
        complain(ration, 10)
        clock.advance(1.0)
    assert caplog.messages == ["198.51.100.7:1: no"] * 30
    assert clock.waiting == 0


def test_more_are_counted(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Those beyond ten are told as a number when the second is over, without anything else."""
    ration = Ration(10, clock)
    clock.advance(5.3)
    complain(ration, 4223)
    assert len(caplog.messages) == 10
    clock.advance(0.9)
    assert len(caplog.messages) == 10
    clock.advance(0.2)
    assert caplog.messages[10:] == ["198.51.100.7: … 4213 similar suppressed"]
    assert caplog.records[-1].name == "broker.server"
    complain(ration, 1)
    assert caplog.messages[11:] == ["198.51.100.7:1: no"]
    assert clock.waiting == 0


def test_each_source_has_its_own(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A source that floods does not silence another; ports of one host are one source."""
    ration = Ration(2, clock)
    for port in range(5):
        complain(ration, 1, IPv4Address("TCP", "198.51.100.7", port))
    complain(ration, 2, UNIXAddress("/run/pb"))
    clock.advance(1.0)
    assert caplog.messages == [
        "198.51.100.7:0: no",
        "198.51.100.7:1: no",
        "unix:/run/pb: no",
        "unix:/run/pb: no",
        "198.51.100.7: … 3 similar suppressed",
    ]


def test_the_next_second_settles(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A line in a later second comes after the number of those before it, timer or not."""
    ration = Ration(1, clock)
    complain(ration, 3)
    clock.clock += 1.5
    complain(ration, 1)
    assert caplog.messages[1:] == ["198.51.100.7: … 2 similar suppressed", "198.51.100.7:1: no"]
    assert clock.waiting == 0


def test_without_a_clock(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Until there is a clock every line is logged; the first clock stays."""
    ration = Ration(1)
    complain(ration, 3)
    ration.begin(clock)
    ration.begin(ManualScheduler())
    complain(ration, 3)
    assert len(caplog.messages) == 4
    assert clock.waiting == 1
    ration.settle()
    assert clock.waiting == 0
