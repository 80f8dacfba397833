"""broker.reactor.task.looping_call: a call that is repeated at a fixed rate."""

from __future__ import annotations

from typing import Any

import pytest

from broker.defer import Deferred
from broker.reactor.task.clock import Clock
from broker.reactor.task.looping_call import LoopingCall


def looping(function: Any, *args: Any) -> tuple[LoopingCall, Clock]:
    """A LoopingCall with a clock of its own."""
    loop = LoopingCall(function, *args)
    loop.clock = clock = Clock()
    return loop, clock


def test_at_multiples_of_the_interval() -> None:
    """Times are counted from the start: they do not drift, and missed ones are left out."""
    times: list[float] = []
    loop, clock = looping(lambda: times.append(clock.seconds()))
    ended: list[Any] = []
    loop.start(2).addCallback(ended.append)
    clock.pump([2.5, 1.5, 5, 1])
    assert times == [0, 2.5, 4, 9, 10]
    loop.stop()
    assert (ended, loop.running, clock.getDelayedCalls()) == ([loop], False, [])


def test_it_waits_for_a_deferred() -> None:
    """The next call comes after the Deferred of the one before; a stop meanwhile waits, too."""
    waiting: list[Deferred[None]] = []

    def call() -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    loop, clock = looping(call)
    done = loop.start(1, now=False)
    clock.advance(1)
    clock.advance(5)
    assert len(waiting) == 1
    waiting[0].callback(None)
    clock.advance(1)
    assert len(waiting) == 2
    loop.stop()
    assert not done.called
    waiting[1].callback(None)
    assert done.result is loop


def test_a_call_that_raises_ends_it() -> None:
    """The Deferred of start fails with what a call raised, and there are no more calls."""
    loop, clock = looping(int, "x")
    done = loop.start(1)
    assert done.addErrback(lambda failure: failure.type).result is ValueError
    assert (loop.running, clock.getDelayedCalls()) == (False, [])


def test_how_many_intervals_have_passed() -> None:
    """withCount tells how many intervals there were since the call before."""
    counts: list[int] = []
    loop = LoopingCall.withCount(counts.append)
    loop.clock = clock = Clock()
    loop.start(1)
    clock.pump([1, 3.5, 0.5])
    assert counts == [1, 1, 3, 1]


def test_misuse() -> None:
    """It starts once, with an interval that is not negative, and is stopped and reset then only."""
    loop, clock = looping(int)
    with pytest.raises(ValueError):
        loop.start(-1)
    for end in (loop.stop, loop.reset):
        with pytest.raises(AssertionError, match="does not run"):
            end()
    loop.start(2)
    with pytest.raises(AssertionError, match="runs already"):
        loop.start(1)
    clock.advance(1)
    loop.reset()
    assert [call.getTime() for call in clock.getDelayedCalls()] == [3]
