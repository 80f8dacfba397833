"""Arrival: a message that has begun is whole in time, or comes fast enough."""

from __future__ import annotations

from typing import Any

import pytest
from memory import ManualScheduler

from broker.arrival import Arrival
from broker.core.policy import STRICT


class Inbox:
    """Wants data, or not; has bytes that are not decoded, or not."""

    wants_data = True
    has_more = False


class Stats:
    """What has come."""

    bytes_received = 0


class FakeSession:
    """A session as an Arrival sees it: ``come`` lets bytes of a message come."""

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.inbox = Inbox()
        self.stats = Stats()
        self.pending = 0
        self.ended: list[tuple[str, str, float]] = []
        self.arrival = Arrival(self.scheduler, STRICT, self, self._end)  # type: ignore[arg-type]

    def come(self, size: int, completes: bool = False) -> None:
        """So many bytes have come; they complete the message, or one, and begin the next."""
        self.stats.bytes_received += size
        self.pending = 0 if completes else self.pending + size
        if self.pending:
            self.arrival.watch()

    def begin_next(self, size: int) -> None:
        """Bytes have come that complete a message and begin another, with so many."""
        self.stats.bytes_received += 100
        self.pending = size
        self.arrival.watch()

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second."""
        for _ in range(seconds):
            self.scheduler.advance(1.0)

    def _end(self, error: Any, limit: str) -> None:
        self.ended.append((str(error), limit, self.scheduler.clock))


def test_a_message_that_is_never_whole() -> None:
    """It is given up after 30 s, whatever trickles."""
    session = FakeSession()
    session.come(500)
    for _ in range(29):
        session.pass_time(1)
        session.come(1)
    assert session.ended == []
    session.pass_time(1)
    assert session.ended == [("message not completed in 30 s", "partial_timeout", 30.0)]
    assert session.scheduler.waiting == 0


def test_a_large_one_may_take_longer() -> None:
    """As long as a kibibyte comes each second; when that ends, so does the connection."""
    session = FakeSession()
    for _ in range(100):
        session.come(1100)
        session.pass_time(1)
    assert session.ended == []
    session.pass_time(10)
    ((_, _, at),) = session.ended
    assert 107 <= at <= 109


def test_each_message_has_its_own_time() -> None:
    """One that is whole is watched no more, and the next is from its own beginning."""
    session = FakeSession()
    session.come(5)
    session.pass_time(29)
    session.come(5, completes=True)
    session.pass_time(5)
    assert (session.ended, session.scheduler.waiting) == ([], 0)
    session.come(5)
    session.pass_time(20)
    session.begin_next(7)
    session.pass_time(29)
    assert session.ended == []
    session.pass_time(1)
    assert [at for _, _, at in session.ended] == [84.0]


@pytest.mark.parametrize(("name", "is_busy"), [("wants_data", False), ("has_more", True)])
def test_what_is_not_read_cannot_come(name: str, is_busy: bool) -> None:
    """While this side does not read, or decode, the peer's time stands still."""
    session = FakeSession()
    session.come(5)
    setattr(session.inbox, name, is_busy)
    session.pass_time(100)
    setattr(session.inbox, name, not is_busy)
    session.pass_time(28)
    assert session.ended == []
    session.pass_time(32)
    assert len(session.ended) == 1


def test_it_stops() -> None:
    """A connection that is gone is watched no more."""
    session = FakeSession()
    session.arrival.stop()
    session.come(5)
    session.arrival.stop()
    assert session.scheduler.waiting == 0
