"""Log throttle: a source gets ten records a second, all sources fifty; the rest is counted."""

from __future__ import annotations

import logging
import re

import pytest
from support.memory import ManualScheduler

from broker.net.log_throttle import EACH, LONGEST, MOST, MOST_BYTES, LogThrottle
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address, UNIXAddress

HERE = IPv4Address("TCP", "198.51.100.7", 1)
logger = logging.getLogger("broker.server")


@pytest.fixture
def clock() -> ManualScheduler:
    """A clock that stands still."""
    return ManualScheduler()


def complain(
    log_throttle: LogThrottle, times: int, address: Address = HERE, text: str = "no"
) -> None:
    """Cause records."""
    for _ in range(times):
        log_throttle.log(logger, logging.WARNING, address, "%s: %s", address, text)


def elsewhere(number: int) -> Address:
    """Return another source."""
    return IPv4Address("TCP", f"203.0.{number // 256}.{number % 256}", 1)


def left_out(messages: list[str]) -> int:
    """Return how many records were reported as left out."""
    found = [re.search(r"… (\d+) records? left out", message) for message in messages]
    return sum(int(each[1]) for each in found if each is not None)


def test_few_are_logged(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Ten a second are logged as they are, and no timer runs."""
    log_throttle = LogThrottle(clock)
    for _ in range(3):
        complain(log_throttle, EACH)
        clock.advance(1.0)
    assert caplog.messages == ["198.51.100.7:1: no"] * 30
    assert clock.waiting == 0


def test_more_are_counted(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Records over ten are reported as a number at the end of the second."""
    log_throttle = LogThrottle(clock)
    clock.advance(5.3)
    complain(log_throttle, 4223)
    assert len(caplog.messages) == 10
    clock.advance(0.9)
    assert len(caplog.messages) == 10
    clock.advance(0.2)
    assert caplog.messages[10:] == ["198.51.100.7: … 4213 records left out"]
    assert caplog.records[-1].name == "broker.server"
    complain(log_throttle, 1)
    assert caplog.messages[11:] == ["198.51.100.7:1: no"]
    assert clock.waiting == 0


def test_each_source_has_its_own(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A source that floods does not silence another; ports of one host are one source."""
    log_throttle = LogThrottle(clock, each=2)
    for port in range(5):
        complain(log_throttle, 1, IPv4Address("TCP", "198.51.100.7", port))
        complain(log_throttle, 1, UNIXAddress(f"/run/{port}"))
        complain(log_throttle, 1, IPv6Address("TCP", f"2001:db8::{port}", port))
    clock.advance(1.0)
    assert len(caplog.messages) == 7
    text = "… 9 records left out, most of them from 198.51.100.7 (3)"
    assert caplog.messages[6:] == [text]


def test_all_together(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Any number of sources causes fifty records a second and one, and the count is exact."""
    log_throttle = LogThrottle(clock)
    for _ in range(5):
        caplog.clear()
        for number in range(3000):
            complain(log_throttle, 2, elsewhere(number))
        clock.advance(1.0)
        assert len(caplog.messages) == MOST + 1
        assert left_out(caplog.messages) == 6000 - MOST
    assert clock.waiting == 0


def test_bytes(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Long records, with tracebacks or without, are fewer: under 50 kB a second."""
    log_throttle = LogThrottle(clock)
    for number in range(100):
        complain(log_throttle, 1, elsewhere(number), "x" * 100_000)
        log_throttle.log_error(logger, elsewhere(number), "raised", ValueError("漢" * 10_000))
    clock.advance(1.0)
    assert all(len(message.encode()) <= LONGEST for message in caplog.messages)
    size = sum(
        len(record.getMessage().encode()) + len((record.exc_text or "").encode())
        for record in caplog.records
    )
    assert MOST_BYTES / 2 < size < 50_000
    assert left_out(caplog.messages) == 200 - (len(caplog.messages) - 1)


def test_printable(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A record is one printable line, whatever its text and address."""
    log_throttle = LogThrottle(clock, each=1)
    path = UNIXAddress("/tmp/\n\x1b[2J\udcff")
    complain(log_throttle, 3, path, "a\u2028b\x07")
    clock.advance(1.0)
    assert len(caplog.messages) == 2
    assert all(message.isprintable() for message in caplog.messages)


def test_levels(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Records below the log level are not counted; the report has the level of the others."""
    caplog.set_level(logging.INFO, "broker")
    log_throttle = LogThrottle(clock, each=1)
    for level in (logging.DEBUG, logging.INFO, logging.INFO):
        log_throttle.log(logger, level, HERE, "no")
    clock.advance(1.0)
    log_throttle.log(logger, logging.INFO, HERE, "no")
    log_throttle.log(logger, logging.ERROR, HERE, "no")
    clock.advance(1.0)
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.INFO, logging.INFO, logging.INFO, logging.ERROR]
    assert caplog.messages[1] == "198.51.100.7: … 1 record left out"


def test_the_next_second_settles(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """A record in a later second follows the report of those before it, with or without a timer."""
    log_throttle = LogThrottle(clock, each=1)
    complain(log_throttle, 3)
    clock.clock += 1.5
    complain(log_throttle, 1)
    assert caplog.messages[1:] == ["198.51.100.7: … 2 records left out", "198.51.100.7:1: no"]
    assert clock.waiting == 0


def test_without_a_clock(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """Without a clock the time of the system is used; the first clock stays."""
    log_throttle = LogThrottle(each=1)
    complain(log_throttle, 3)
    assert len(caplog.messages) == 1
    log_throttle.begin(clock)
    log_throttle.begin(ManualScheduler())
    complain(log_throttle, 3)
    assert len(caplog.messages) == 1
    assert clock.waiting == 1
    clock.advance(1.0)
    assert caplog.messages[1:] == ["198.51.100.7: … 5 records left out"]
    assert clock.waiting == 0


def test_the_ids_of_errors(clock: ManualScheduler, caplog: pytest.LogCaptureFixture) -> None:
    """An error has its own id if its record is logged, else that of the report."""
    log_throttle = LogThrottle(clock)
    for second in range(2):
        own = set()
        for _ in range(EACH):
            own.add(log_throttle.id_of_error(HERE))
            log_throttle.log_error(logger, HERE, "raised", ValueError("no"))
        assert len(own) == EACH
        (rest,) = {log_throttle.id_of_error(HERE) for _ in range(5)} - own
        log_throttle.log_error(logger, HERE, "raised", ValueError("no"))
        assert log_throttle.id_of_error(elsewhere(1)) != rest
        clock.advance(1.0)
        assert caplog.messages[second * (EACH + 1) + EACH] == (
            f"198.51.100.7: … 1 record left out; the id of errors among them is {rest}"
        )
    complain(log_throttle, EACH + 1)
    clock.advance(1.0)
    assert caplog.messages[-1] == "198.51.100.7: … 1 record left out"


def test_the_id_among_many_sources(
    clock: ManualScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    """The report about several sources has the id, too."""
    log_throttle = LogThrottle(clock)
    for number in range(MOST + 2):
        error_id = log_throttle.id_of_error(elsewhere(number))
        log_throttle.log_error(logger, elsewhere(number), "raised", ValueError("no"))
    clock.advance(1.0)
    assert caplog.messages[-1] == (
        "… 2 records left out, most of them from 203.0.0.50 (1);"
        f" the id of errors among them is {error_id}"
    )
