"""Delayed calls on a clock that the test moves."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

import pytest

from broker.reactor.engine.timers import DelayedCall, TimerQueue
from broker.reactor.error import AlreadyCalled, AlreadyCancelled


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.changes = 0
        self.made: list[object] = []
        self.queue = TimerQueue(lambda: self.time, self.changed)

    def changed(self) -> None:
        """Count a change."""
        self.changes += 1

    def later(self, delay: float, what: object) -> DelayedCall:
        """Schedule a call that notes `what`."""
        return self.queue.add(delay, self.made.append, (what,), {})

    def advance(self, seconds: float) -> list[object]:
        """Move the clock; return the calls that were made."""
        self.time += seconds
        before = len(self.made)
        self.queue.run_due()
        return self.made[before:]


@pytest.fixture
def clock() -> Clock:
    """A clock with an empty queue."""
    return Clock()


def test_order(clock: Clock) -> None:
    """Calls are made in the order of their times, those of equal times as scheduled."""
    for delay, what in [(3, "c"), (1, "a"), (2, "b1"), (2, "b2"), (2, "b3")]:
        clock.later(delay, what)
    assert clock.advance(10) == ["a", "b1", "b2", "b3", "c"]


def test_not_early(clock: Clock) -> None:
    """A call is made when its time has come, not before, and once."""
    clock.later(2, "call")
    assert clock.advance(1.999) == []
    assert clock.advance(0.001) == ["call"]
    assert clock.advance(10) == []


def test_slack(clock: Clock) -> None:
    """If a loop wakes up early by less than its clock resolution, the call is still made."""
    clock.later(1, "call")
    clock.time += 0.99
    clock.queue.run_due(0.02)
    assert clock.made == ["call"]


def test_arguments(clock: Clock) -> None:
    """The function gets its arguments and keywords."""
    seen: list[object] = []
    clock.queue.add(0, lambda *args, **kw: seen.extend([args, kw]), (1, 2), {"three": 3})
    clock.advance(0)
    assert seen == [(1, 2), {"three": 3}]


def test_cancel(clock: Clock) -> None:
    """A cancelled call is not made, is not active, and does not keep its arguments."""

    class Big:
        pass

    big = Big()
    gone = weakref.ref(big)
    call = clock.later(1, big)
    assert call.active()
    call.cancel()
    del big
    assert not call.active()
    assert gone() is None
    assert clock.advance(2) == []
    assert clock.queue.pending() == []


@pytest.mark.parametrize(
    "change", [DelayedCall.cancel, lambda call: call.reset(1), lambda call: call.delay(1)]
)
def test_too_late(clock: Clock, change: Callable[[DelayedCall], None]) -> None:
    """A call that was made or cancelled cannot be cancelled or moved."""
    called = clock.later(0, "call")
    clock.advance(0)
    assert not called.active()
    with pytest.raises(AlreadyCalled):
        change(called)
    cancelled = clock.later(0, "call")
    cancelled.cancel()
    with pytest.raises(AlreadyCancelled):
        change(cancelled)


def test_cancel_while_called(clock: Clock) -> None:
    """A call that is being made counts as called."""
    raised: list[type[Exception]] = []

    def cancel_itself() -> None:
        try:
            call.cancel()
        except AlreadyCalled as exc:
            raised.append(type(exc))

    call = clock.queue.add(0, cancel_itself, (), {})
    clock.advance(0)
    assert raised == [AlreadyCalled]


@pytest.mark.parametrize("seconds", [1, 5, 8])
def test_reset(clock: Clock, seconds: float) -> None:
    """A reset call is made after the given seconds, earlier or later than before."""
    call = clock.later(5, "call")
    clock.advance(2)
    call.reset(seconds)
    assert call.getTime() == 1002 + seconds
    assert clock.advance(seconds - 0.5) == []
    assert clock.advance(0.5) == ["call"]


@pytest.mark.parametrize("seconds", [-3, 0, 3])
def test_delay(clock: Clock, seconds: float) -> None:
    """A call that is delayed is made so many seconds later than planned."""
    call = clock.later(5, "call")
    clock.advance(1)
    call.delay(seconds)
    assert call.getTime() == 1005 + seconds
    assert clock.advance(3.5 + seconds) == []
    assert clock.advance(0.5) == ["call"]


def test_cancel_by_an_earlier_call(clock: Clock) -> None:
    """A due call that an earlier one cancels is not made."""
    second = clock.later(2, "second")
    clock.queue.add(1, second.cancel, (), {})
    assert clock.advance(3) == []


def test_raising(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a call is logged with its traceback, and the next calls are made."""
    clock.queue.add(1, lambda: 1 / 0, (), {})
    clock.later(2, "next")
    assert clock.advance(3) == ["next"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_scheduling_itself(clock: Clock) -> None:
    """A call that schedules itself without delay is made once a turn, while the clock stands."""

    def again() -> None:
        clock.made.append("again")
        clock.queue.add(0, again, (), {})

    again()
    assert clock.advance(0) == ["again"]
    assert clock.advance(0) == ["again"]


def test_next_time(clock: Clock) -> None:
    """The queue returns the time of the next call, without cancelled and moved ones."""
    assert clock.queue.next_time() is None
    first, second = clock.later(1, "first"), clock.later(2, "second")
    assert clock.queue.next_time() == 1001
    first.reset(5)
    assert clock.queue.next_time() == 1002
    second.cancel()
    assert clock.queue.next_time() == 1005


def test_changes(clock: Clock) -> None:
    """Every change is reported: a call added, moved, delayed, cancelled."""
    call = clock.later(1, "call")
    call.reset(2)
    call.delay(1)
    call.cancel()
    assert clock.changes == 4


def test_clear(clock: Clock) -> None:
    """A cleared queue makes none of its calls."""
    call = clock.later(1, "call")
    clock.queue.clear()
    assert clock.advance(2) == []
    assert call.active()
    assert clock.queue.next_time() is None


def test_many_cancelled(clock: Clock) -> None:
    """Calls that were cancelled long before their time do not stay in the heap."""
    kept = clock.later(5000, "kept")
    for call in [clock.later(3600, "timeout") for _ in range(10_000)]:
        call.cancel()
    assert clock.queue.pending() == [kept]
    assert len(clock.queue._heap) < 200
    assert clock.advance(6000) == ["kept"]


def test_moved_often(clock: Clock) -> None:
    """The entries of a call that is moved often, as by a keepalive, do not stay in the heap."""
    call = clock.later(60, "call")
    for _ in range(10_000):
        call.reset(60)
    assert len(clock.queue._heap) < 200
    assert clock.advance(60) == ["call"]


@pytest.mark.parametrize("delay", [-0.001, float("nan")])
def test_impossible_delay(clock: Clock, delay: float) -> None:
    """A delay that is negative, or not a number, is refused."""
    with pytest.raises(ValueError, match="cannot be delayed"):
        clock.later(delay, "call")


def test_not_callable(clock: Clock) -> None:
    """An object that is not callable is refused when it is scheduled."""
    with pytest.raises(TypeError, match="'text' is not callable"):
        clock.queue.add(0, "text", (), {})  # type: ignore[arg-type]


def test_repr(clock: Clock) -> None:
    """The repr of a delayed call shows its function and its time, or its end."""
    call = clock.later(1.5, "call")
    assert "in 1.500s: list.append" in repr(call)
    clock.advance(2)
    assert "called" in repr(call)
    cancelled = clock.later(1, "call")
    cancelled.cancel()
    assert "cancelled" in repr(cancelled)
