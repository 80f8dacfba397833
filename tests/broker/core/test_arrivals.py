"""The times of received bytes, and the deadlines of the calls in them."""

from __future__ import annotations

from typing import Any

from broker.core.arrivals import Arrivals, note_due
from broker.core.wire import messages


def call(deadline: Any) -> messages.PlainCall:
    """A call with a deadline, in milliseconds."""
    return messages.PlainCall(1, 5, "name", (), {}, deadline)


def test_a_deadline_is_set_once() -> None:
    """Milliseconds become a time; a call without a deadline, or with a time, stays as it is."""
    one, without = call(1500), call(None)
    for message in (one, without, messages.Ping(1)):
        note_due(message, 10.0)
    assert one.deadline == 11.5
    note_due(one, 20.0)
    assert one.deadline == 11.5
    assert without.deadline is None


def test_one_time() -> None:
    """Usually all bytes came at once."""
    arrivals = Arrivals()
    assert arrivals.are_all(5.0)
    arrivals.add(100, 5.0)
    assert arrivals.are_all(5.0)
    assert not arrivals.are_all(6.0)
    arrivals.add(200, 6.0)
    assert not arrivals.are_all(6.0)


def test_each_call_has_the_time_of_its_last_byte() -> None:
    """Ends are counted from any start; a message that spans two pieces came with the second."""
    arrivals = Arrivals()
    arrivals.add(100, 10.0)
    arrivals.add(200, 20.0)
    arrivals.add(300, 30.0)
    calls = [call(1000) for _ in range(4)]
    # The reader counts from 60: its ends are 90, 100, 110 and 300 of all bytes.
    arrivals.note_due(calls, [30, 40, 50, 240], 300)
    assert [each.deadline for each in calls] == [11.0, 11.0, 21.0, 31.0]
