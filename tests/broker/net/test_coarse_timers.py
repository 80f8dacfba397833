"""Timeouts of one loop share one timer: they are never early, and at most a second late."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from broker.net.coarse_timers import CoarseTimers
from broker.net.scheduler import scheduler_of
from broker.testing.clock import virtual_clock
from broker.testing.loop import SimulatedLoop

variable = contextvars.ContextVar("variable", default="outside")


@contextmanager
def simulated() -> Iterator[tuple[SimulatedLoop, CoarseTimers]]:
    """A loop whose time is simulated, and its coarse timers."""
    loop = SimulatedLoop(random.Random(1))
    try:
        yield loop, CoarseTimers(loop, loop.time)
    finally:
        loop.close()


def run(loop: SimulatedLoop, seconds: float) -> None:
    """Let time pass."""
    loop.run_until_complete(asyncio.sleep(seconds))


@pytest.mark.parametrize("seed", range(20))
def test_never_early_and_at_most_a_second_late(seed: int) -> None:
    """Whatever the delays and the times at which they are set, each call comes in its second."""
    dice = random.Random(seed)
    with simulated() as (loop, timers):
        late: list[float] = []

        def note(due: float) -> None:
            late.append(loop.time() - due)

        def set_one() -> None:
            delay = dice.choice([1.0, 1.5, 2.0, dice.uniform(1, 90), 3600.0])
            timers.timeout(delay, note, loop.time() + delay)

        for _ in range(100):
            loop.call_later(dice.choice([0.0, 0.5, dice.uniform(0, 50)]), set_one)
        run(loop, 4000)
        assert len(late) == 100
        assert min(late) >= 0
        assert max(late) <= 1
        assert not loop.timers()
        assert len(timers) == 0


def test_the_first_call_may_be_set_last() -> None:
    """A timeout that is due before all others is not late; the others keep their order."""
    with simulated() as (loop, timers):
        log: list[object] = []
        for delay in (60, 5, 1, 30):
            timers.timeout(delay, log.append, delay)
        # They are due in one half second: in the order in which they were set.
        timers.timeout(5.2, log.append, "b")
        timers.timeout(5.1, log.append, "a")
        assert len(loop.timers()) == 1
        run(loop, 2)
        assert log == [1]
        run(loop, 60)
        assert log[-2:] == [30, 60]
        assert set(log[1:-2]) == {5, "a", "b"}
        assert log.index("b") < log.index("a")


def test_no_timer_of_the_loop_is_left() -> None:
    """The loop has one timer while a timeout is set, and none when all were cancelled or called."""
    with simulated() as (loop, timers):
        first, other, third = (timers.timeout(delay, print) for delay in (5, 5, 9))
        assert (len(loop.timers()), len(timers)) == (1, 3)
        first.cancel()
        first.cancel()
        other.cancel()
        assert (len(loop.timers()), len(timers)) == (1, 1)
        third.cancel()
        assert (len(loop.timers()), len(timers)) == (0, 0)
        calls: list[int] = []
        done = timers.timeout(1, calls.append, 1)
        run(loop, 3)
        done.cancel()
        assert calls == [1]
        assert not loop.timers()


def test_the_bucket_of_the_timer_may_be_dropped() -> None:
    """When all timeouts of the first half second are cancelled, the later ones still come."""
    with simulated() as (loop, timers):
        calls: list[int] = []
        early = timers.timeout(2, calls.append, 2)
        timers.timeout(8, calls.append, 8)
        early.cancel()
        run(loop, 10)
        assert calls == [8]


@pytest.mark.parametrize("error", [ValueError("a fault"), asyncio.CancelledError()])
def test_an_error_ends_no_other_timeout(error: BaseException) -> None:
    """An error goes to the exception handler of the loop; other timeouts come, also new ones."""
    with simulated() as (loop, timers):
        calls: list[int] = []

        def fail() -> None:
            raise error

        timers.timeout(1, fail)
        timers.timeout(1, calls.append, 1)
        timers.timeout(4, calls.append, 4)
        run(loop, 10)
        assert calls == [1, 4]
        (report,) = loop.errors
        assert report["exception"] is error
        assert "fail" in report["message"]
        timers.timeout(1, calls.append, 5)
        run(loop, 2)
        assert calls == [1, 4, 5]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_run_and_no_timeout(error: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit leave the loop; the other timeouts come if it goes on."""
    with simulated() as (loop, timers):
        calls: list[int] = []

        def fail() -> None:
            raise error

        timers.timeout(1, fail)
        timers.timeout(1, calls.append, 1)
        timers.timeout(4, calls.append, 4)
        with pytest.raises(error):
            run(loop, 10)
        run(loop, 10)
        assert calls == [1, 4]


def test_cancelled_by_another_timeout() -> None:
    """A timeout that another one of the same half second cancels does not come."""
    with simulated() as (loop, timers):
        calls: list[int] = []
        others: list[Any] = []
        timers.timeout(1, lambda: [other.cancel() for other in others])
        others.append(timers.timeout(1, calls.append, 2))
        timers.timeout(1, calls.append, 3)
        run(loop, 5)
        assert calls == [3]


@pytest.mark.parametrize("ahead", [-1000, 1000])
def test_a_loop_with_another_clock(ahead: float) -> None:
    """If the clock of the loop was replaced by another, timeouts come in time, without spinning."""
    with simulated() as (loop, _):
        timers = CoarseTimers(loop, partial(ahead_of, loop, ahead))
        calls: list[float] = []
        timers.timeout(1, lambda: calls.append(loop.time()))
        run(loop, 3)
        assert 1 <= calls[0] <= 2
        assert loop.turns < 20


def ahead_of(loop: SimulatedLoop, seconds: float) -> float:
    """Return the time of another clock than that of the loop."""
    return loop.time() + seconds


def test_set_by_another_timeout() -> None:
    """A timeout that is set in a timeout is not early, and the first may set itself again."""
    with simulated() as (loop, timers):
        times: list[float] = []

        def again() -> None:
            times.append(loop.time())
            if len(times) < 5:
                timers.timeout(1, again)

        timers.timeout(1, again)
        run(loop, 20)
        gaps = [after - before for before, after in pairwise(times)]
        assert len(times) == 5
        assert all(1 <= gap <= 2 for gap in gaps)
        assert not loop.timers()


def test_other_events_have_their_turn() -> None:
    """If a thousand timeouts are due at once, other callbacks run in between."""
    with simulated() as (loop, timers):
        log: list[str] = []
        for _ in range(1000):
            timers.timeout(1, log.append, "timeout")
        timers.timeout(1, lambda: None)
        loop.call_at(1.5 + 0.002, lambda: loop.call_soon(log.append, "event"))
        run(loop, 3)
        assert len(log) == 1001
        assert log.index("event") < 1000


def test_the_context_is_that_of_the_setter() -> None:
    """A callback sees the variables of the code that has set the timeout, as with call_later."""
    with simulated() as (loop, timers):
        seen: list[str] = []

        def note() -> None:
            seen.append(variable.get())

        inside = contextvars.copy_context()
        inside.run(variable.set, "inside")
        inside.run(timers.timeout, 1, note)
        timers.timeout(1, note)
        # The timer of the loop was set by the first. It has no context of its own.
        run(loop, 3)
        assert seen == ["inside", "outside"]


class Connection:
    """An object that sets a timeout."""

    def look(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("ends", ["cancel", "call"])
def test_objects_are_let_go(ends: str) -> None:
    """After the call, or when it was cancelled, a timeout that is kept holds no other object."""
    with simulated() as (loop, timers):
        connection = Connection()
        gone = weakref.ref(connection)
        timeout = timers.timeout(1, connection.look)
        timers.timeout(50, print)
        if ends == "cancel":
            timeout.cancel()
        else:
            run(loop, 3)
        del connection
        assert gone() is None
        timeout.cancel()


def test_a_loop_that_is_closed_is_collected() -> None:
    """Neither timeouts that are set nor the shared scheduler keep a closed loop."""
    loop = asyncio.new_event_loop()
    scheduler: Any = scheduler_of(loop)
    scheduler.timeout(100, print)
    loop.close()
    gone = weakref.ref(loop)
    del loop, scheduler
    gc.collect()
    assert gone() is None


async def test_a_timeout_keeps_no_program_alive() -> None:
    """The run of this loop ends although a timeout is set; closing the loop warns of nothing."""
    scheduler = scheduler_of(asyncio.get_running_loop())
    scheduler.timeout(3600, print)
    assert len(scheduler.timeouts) == 1


async def test_virtual_clock() -> None:
    """Timeouts from before the block keep the real time, and those inside take none."""
    loop = asyncio.get_running_loop()
    before = scheduler_of(loop)
    calls: list[str] = []
    kept = before.timeout(3600, calls.append, "before")
    dropped = before.timeout(3600, calls.append, "dropped")
    with virtual_clock() as clock:
        inside = scheduler_of(loop)
        assert inside is not before
        begun = inside.now()
        inside.timeout(1800, lambda: calls.append(f"{inside.now() - begun:.0f}"))
        await asyncio.sleep(7200)
        assert calls in (["1800"], ["1801"])
        assert clock.elapsed >= 7200
        # Set by a connection from before the block: by the clock that the loop has now.
        before.timeout(10, calls.append, "old")
        await asyncio.sleep(12)
        assert calls[1:] == ["old"]
        dropped.cancel()
    kept.cancel()
    assert not before.timeouts
    with virtual_clock():
        assert scheduler_of(loop) is not inside
        await asyncio.sleep(2 * 3600)
    assert len(calls) == 2


async def test_handed_over() -> None:
    """A timeout from before a virtual clock comes by the real time, in its context, once."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[str] = loop.create_future()
    inside = contextvars.copy_context()
    inside.run(variable.set, "inside")
    begun = loop.time()
    inside.run(scheduler_of(loop).timeout, 1, lambda: came.set_result(variable.get()))
    real: Callable[[], float] = loop.time
    with virtual_clock():
        assert await came == "inside"
    assert real() - begun >= 1


async def test_real_loops(each_loop: object) -> None:
    """On asyncio's loop and on uvloop a timeout of a second takes one to two seconds."""
    loop = asyncio.get_running_loop()
    scheduler = scheduler_of(loop)
    times: asyncio.Queue[float] = asyncio.Queue()
    cancelled = scheduler.timeout(1.2, times.put_nowait, 0.0)
    begun = scheduler.now()
    scheduler.timeout(1, lambda: times.put_nowait(scheduler.now()))
    cancelled.cancel()
    took = await times.get() - begun
    assert took >= 1
    assert not scheduler.timeouts
    assert times.empty()
