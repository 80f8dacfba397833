"""broker.reactor.task.clock: a clock that moves when it is told to."""

from __future__ import annotations

import pytest

from broker.reactor.task.clock import Clock


def test_calls_in_the_order_of_their_times() -> None:
    """Advancing makes the calls that are due, also those that these make, in order."""
    clock, made = Clock(), []
    clock.callLater(2, made.append, "second")
    clock.callLater(1, lambda: clock.callLater(0, made.append, "third"))
    clock.callLater(1, made.append, "first")
    clock.callLater(3, made.append, "later")
    clock.advance(2)
    assert (made, clock.seconds()) == (["first", "second", "third"], 2)
    assert [call.getTime() for call in clock.getDelayedCalls()] == [3]


def test_moved_and_cancelled() -> None:
    """A call can be moved, and a cancelled one is not made."""
    clock, made = Clock(), []
    moved = clock.callLater(1, made.append, "moved")
    clock.callLater(1, made.append, "cancelled").cancel()
    moved.reset(5)
    clock.pump([1, 3])
    assert made == []
    clock.pump([0.5, 0.5])
    assert made == ["moved"]
    assert not moved.active()


def test_a_call_that_raises() -> None:
    """An exception of a call comes out of advance; the calls after it wait for the next one."""
    clock, made = Clock(), []
    clock.callLater(1, int, "x")
    clock.callLater(1, made.append, 1)
    with pytest.raises(ValueError):
        clock.advance(1)
    assert made == []
    clock.advance(0)
    assert made == [1]
