"""The flow: what is taken from a peer depends on what it has not taken from us."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory import FakeTransport

from broker.connection.flow_control import FlowControl
from broker.connection.reading import Reading
from broker.core.policy import STRICT
from broker.core.stats import Stats
from broker.net.twisted_transport import port_of

POLICY = STRICT.but(high_water=100, max_unsent=1000)


class FakeSession:
    """What waits to be handled, and how much was answered while little else could be done."""

    def __init__(self) -> None:
        self.inbox: Any = self
        self.wants_data = True
        self.holds_calls = False
        self.incoming: Any = SimpleNamespace(answers=SimpleNamespace(size=500))
        self.stats = Stats()
        self.tracing = None

    def count(self) -> None:
        """Do nothing: no lane counts."""

    def hold_calls(self, is_held: bool) -> None:
        """Note it."""
        self.holds_calls = is_held


class Share:
    """A part of a server's budget."""

    is_held_back = False
    on_change: Any = None
    reports = ends = 0

    def report(self) -> None:
        """Count."""
        self.reports += 1

    def end(self) -> None:
        """Count."""
        self.ends += 1


class Line:
    """A flow, and what it has asked for."""

    def __init__(self, transport: Any = None) -> None:
        self.session: Any = FakeSession()
        self.transport = FakeTransport(None) if transport is None else transport
        self.unsent = self.room = 0
        self.watched = self.stopped = self.resumed = 0
        patience: Any = self
        self.allowed: list[float] = []
        reading = Reading(self.transport, lambda: 0.0, self.allowed.append)
        self.share: Any = Share()
        self.flow = FlowControl(
            self.session,
            POLICY,
            reading,
            lambda: self.unsent,
            patience,
            self.resume,
            self.share,
        )

    def watch(self) -> None:
        """Count, for the patience with the peer."""
        self.watched += 1

    def stop(self) -> None:
        """Count the end of it."""
        self.stopped += 1

    def resume(self) -> None:
        """Count how often messages were to be handled soon."""
        self.resumed += 1

    def regulate(self, unsent: int, wants_data: bool = True) -> tuple[bool, bool]:
        """Regulate; return whether calls are held, and whether nothing is read."""
        self.unsent, self.session.wants_data = unsent, wants_data
        self.room = self.flow.regulate()
        return self.session.holds_calls, self.transport.is_paused


def test_calls_are_held_while_much_is_unsent() -> None:
    """Above the high water mark calls wait, while all else is read; at the mark they go on."""
    line = Line()
    assert line.regulate(100) == (False, False)
    assert (line.watched, line.room) == (0, 0)
    assert line.regulate(101) == (True, False)
    assert (line.watched, line.room) == (1, -1)
    assert line.regulate(5000) == (True, False)
    assert line.regulate(40) == (False, False)
    assert (line.watched, line.room, line.resumed) == (2, 60, 0)


def test_reading_stops_while_much_waits() -> None:
    """What waits to be handled stops reading; calls are made meanwhile."""
    line = Line()
    assert line.regulate(0, wants_data=False) == (False, True)
    assert line.room == -1
    assert line.regulate(0) == (False, False)
    assert line.room == 100


def test_each_change_is_told_once() -> None:
    """The transport is paused and resumed when that changes, not each time; pauses are counted."""

    class Transport(FakeTransport):
        asked = ""

        def pause_reading(self) -> None:
            self.asked += "p"

        def resume_reading(self) -> None:
            self.asked += "r"

    transport = Transport(None)
    line = Line(transport)
    for wants_data in (True, False, False, True, True, False):
        line.regulate(0, wants_data)
    assert transport.asked == "prp"
    assert line.session.stats.limits == {"max_backlog": 2}


def test_a_budget_that_is_used_up() -> None:
    """While the share is held back nothing is read, however little waits; calls go on."""
    line = Line()
    line.share.is_held_back = True
    line.share.on_change()
    assert line.transport.is_paused
    assert line.regulate(0) == (False, True)
    assert line.session.stats.limits == {}
    line.share.is_held_back = False
    assert line.regulate(0, wants_data=False) == (False, True)
    line.share.on_change()
    assert line.transport.is_paused
    assert line.regulate(0) == (False, False)
    assert line.share.reports == 3
    line.flow.weigh()
    line.flow.end()
    assert (line.share.reports, line.share.ends) == (4, 1)


def test_a_transport_that_cannot_be_paused() -> None:
    """It is left alone."""
    line = Line(port_of(SimpleNamespace(write=print)))
    line.unsent, line.session.wants_data = 101, False
    assert line.flow.regulate() == -1
    assert not line.session.holds_calls


def test_calls_go_on_where_both_caps_are_reached() -> None:
    """With too much on both sides calls are made, for as much as the answers may take."""
    line = Line()
    line.regulate(101)
    assert line.session.incoming.answers.size == 0
    assert line.regulate(101, wants_data=False) == (False, True)
    assert line.resumed == 1
    line.session.incoming.answers.size = 1000
    assert line.regulate(1101, wants_data=False) == (False, True)
    assert line.resumed == 2
    line.session.incoming.answers.size = 1001
    assert line.regulate(1102, wants_data=False) == (True, True)
    assert line.resumed == 2
    # It has taken what it was sent: the count begins again.
    assert line.regulate(100, wants_data=False) == (False, True)
    assert line.session.incoming.answers.size == 0
    assert line.resumed == 2


def test_answers_are_counted_from_the_beginning_of_a_jam() -> None:
    """What was answered before that does not matter; what is answered in it is not forgotten."""
    line = Line()
    line.session.incoming.answers.size = 5000
    assert line.regulate(101, wants_data=False) == (False, True)
    assert line.session.incoming.answers.size == 0
    line.session.incoming.answers.size = 5
    line.regulate(101, wants_data=False)
    line.regulate(101, wants_data=True)
    assert line.session.incoming.answers.size == 5


def test_the_end() -> None:
    """Nothing is watched any more."""
    line = Line()
    line.flow.stop()
    assert line.stopped == 1


@given(st.lists(st.tuples(st.integers(0, 1500), st.booleans(), st.integers(0, 1500)), max_size=20))
def test_no_deadlock(steps: list[tuple[int, bool, int]]) -> None:
    """Whatever happened before, with little unsent no call is held, and room tells the marks."""
    line = Line()
    for unsent, wants_data, answered in steps:
        line.session.incoming.answers.size += answered
        is_held, is_paused = line.regulate(unsent, wants_data)
        assert is_paused == (not wants_data)
        assert unsent > 100 or not is_held
        assert (line.room < 0) == (unsent > 100 or not wants_data)
        assert line.room < 0 or line.room == 100 - unsent
    assert line.regulate(0) == (False, False)


@pytest.mark.parametrize("unsent", [0, 100])
def test_it_is_little_that_is_unsent(unsent: int) -> None:
    """At the mark itself nobody is watched."""
    line = Line()
    line.regulate(unsent, wants_data=False)
    assert line.watched == 0
