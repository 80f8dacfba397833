"""Arrival: a message that has begun is whole in time, or comes fast enough."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import ManualScheduler

from broker.connection.watchdogs.message import MessageTimeout
from broker.core.policy import STRICT


class Inbox:
    """Has bytes that are not decoded, or not."""

    has_more = False
    pending = 0


class Stats:
    """What has come."""

    bytes_received = 0


class FakeSession:
    """A session as an Arrival sees it: ``come`` lets bytes of a message come."""

    def __init__(self) -> None:
        self.scheduler = ManualScheduler()
        self.inbox = Inbox()
        self.stats = Stats()
        self.ended: list[tuple[str, str, float]] = []
        self.is_reading = True
        session: Any = self
        self.arrival = MessageTimeout(self.scheduler, STRICT, session, self)

    def come(self, size: int, completes: bool = False) -> None:
        """So many bytes have come; they complete the message, or one, and begin the next."""
        self.stats.bytes_received += size
        self.inbox.pending = 0 if completes else self.inbox.pending + size
        if self.inbox.pending:
            self.arrival.watch()

    def begin_next(self, size: int) -> None:
        """Bytes have come that complete a message and begin another, with so many."""
        self.stats.bytes_received += 100
        self.inbox.pending = size
        self.arrival.watch()

    def pass_time(self, seconds: int) -> None:
        """Let time pass, second by second."""
        for _ in range(seconds):
            self.scheduler.advance(1.0)

    def abort(self, error: Any) -> None:
        """Take note of the end."""
        self.ended.append((str(error), error.limit, self.scheduler.clock))


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


def test_what_is_not_decoded_may_be_whole() -> None:
    """While this side does not decode, the peer's time stands still."""
    session = FakeSession()
    session.come(5)
    session.inbox.has_more = True
    session.pass_time(100)
    session.inbox.has_more = False
    session.pass_time(28)
    assert session.ended == []
    session.pass_time(32)
    assert len(session.ended) == 1


@pytest.mark.parametrize(("stops", "lasts"), [(5, 100), (5, 10), (29, 2), (1, 28)])
def test_what_is_not_read_cannot_come(stops: int, lasts: int) -> None:
    """Time in which nothing is read does not count, whether a look falls into it or not."""
    session = FakeSession()
    session.come(5)
    session.pass_time(stops)
    session.is_reading = False
    session.pass_time(lasts)
    session.is_reading = True
    session.arrival.allow(lasts)
    session.pass_time(29 - stops)
    assert session.ended == []
    session.pass_time(2)
    assert len(session.ended) == 1


def test_it_stops() -> None:
    """A connection that is gone is watched no more."""
    session = FakeSession()
    session.arrival.stop()
    session.come(5)
    session.arrival.stop()
    assert session.scheduler.waiting == 0
