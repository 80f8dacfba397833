"""One scheduler for each world: an asyncio loop, a Twisted reactor, and no loop at all."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from broker.net.scheduler import (
    ImmediateScheduler,
    LoopScheduler,
    TwistedScheduler,
    expire_at,
    scheduler_for,
    scheduler_of,
)
from broker.testing.clock import virtual_clock

variable = contextvars.ContextVar("variable", default="outside")


async def test_loop_scheduler(each_loop) -> None:
    """Calls come in the next turn, after their delay, or from a thread; cancelled ones not."""
    scheduler = LoopScheduler(asyncio.get_running_loop())
    calls = asyncio.Queue()
    scheduler.soon(calls.put_nowait, "soon")
    assert calls.empty()
    assert await calls.get() == "soon"
    before = scheduler.now()
    scheduler.later(0.0, calls.put_nowait, "never").cancel()
    scheduler.later(0.02, calls.put_nowait, "later")
    assert await calls.get() == "later"
    assert scheduler.now() - before >= 0.015
    thread = threading.Thread(target=scheduler.soon_threadsafe, args=(calls.put_nowait, "t"))
    thread.start()
    assert await calls.get() == "t"
    thread.join()


async def test_short_timeouts_are_exact(each_loop) -> None:
    """A timeout below a second is a timer of the loop; a longer one shares a timer with others."""
    scheduler = LoopScheduler(asyncio.get_running_loop())
    calls = asyncio.Queue()
    scheduler.timeout(0.02, calls.put_nowait, "short")
    assert not scheduler.timeouts
    before = scheduler.now()
    assert await calls.get() == "short"
    assert scheduler.now() - before < 0.4
    for delay in (1.0, 1e9):
        long = scheduler.timeout(delay, calls.put_nowait, "long")
        assert len(scheduler.timeouts) == 1
        long.cancel()
        assert not scheduler.timeouts
    scheduler.timeout(-1, calls.put_nowait, "past")
    assert await calls.get() == "past"


def test_an_endless_timeout() -> None:
    """A timeout of infinity can be set and cancelled."""
    loop = asyncio.new_event_loop()
    try:
        endless = scheduler_of(loop).timeout(float("inf"), print)
        endless.cancel()
        assert endless.cancelled()
    finally:
        loop.close()


async def test_connections_share_a_scheduler(each_loop) -> None:
    """There is one scheduler for each loop, as long as the loop keeps its clock."""
    loop = asyncio.get_running_loop()
    scheduler = scheduler_of(loop)
    assert scheduler_of(loop) is scheduler
    other = asyncio.new_event_loop()
    try:
        assert scheduler_of(other) is not scheduler
        first = scheduler_of(other)
        other.time = lambda: 5.0
        assert scheduler_of(other) is not first
        assert scheduler_of(other).now() == 5.0
    finally:
        other.close()


@pytest.mark.parametrize("seconds", [0.2, 1.0, 10.0])
async def test_expire_at(seconds) -> None:
    """A limit expires at its time or less than a second later; shorter than a second, at once."""
    loop = asyncio.get_running_loop()
    with virtual_clock() as clock:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                timer = expire_at(limit, loop.time() + seconds)
                await asyncio.sleep(100)
        assert limit.expired()
        timer.cancel()
        assert seconds <= clock.elapsed <= seconds + (1 if seconds >= 1 else 0.1)
        async with asyncio.timeout(None) as limit:
            expire_at(limit, loop.time() + seconds).cancel()
            await asyncio.sleep(100)
        assert not scheduler_of(loop).timeouts


async def test_expired_before(each_loop) -> None:
    """A limit whose time has passed expires at the first wait."""
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            expire_at(limit, loop.time() - 5)
            await asyncio.sleep(100)


async def test_loop_scheduler_tasks(each_loop) -> None:
    """A task runs in the context that it is given."""
    scheduler = LoopScheduler(asyncio.get_running_loop())
    context = contextvars.copy_context()
    context.run(variable.set, "inside")

    async def ask():
        return variable.get()

    assert await scheduler.create_task(ask(), context) == "inside"
    assert await scheduler.create_task(ask()) == "outside"


class Reactor(Clock):
    """A clock with the reactor's door for other threads."""

    def callFromThread(self, f, *args):
        """Call at once: the test is one thread."""
        f(*args)


def test_twisted_scheduler() -> None:
    """The calls and clock of a reactor are used; cancelling twice, or too late, is not an error."""
    reactor = Reactor()
    scheduler = TwistedScheduler(reactor)
    calls = []
    scheduler.soon(calls.append, "soon")
    call = scheduler.later(5, calls.append, "later")
    cancelled = scheduler.later(5, calls.append, "never")
    scheduler.soon_threadsafe(calls.append, "thread")
    assert calls == ["thread"]
    scheduler.timeout(5, calls.append, "timeout")
    cancelled.cancel()
    cancelled.cancel()
    reactor.advance(0)
    assert calls == ["thread", "soon"]
    reactor.advance(5)
    assert calls == ["thread", "soon", "later", "timeout"]
    call.cancel()
    assert scheduler.now() == 5
    assert scheduler.create_task is None


def test_immediate_scheduler() -> None:
    """Without a loop soon is now, and later never comes."""
    scheduler = ImmediateScheduler()
    calls = []
    scheduler.soon(calls.append, 1)
    scheduler.soon_threadsafe(calls.append, 2)
    scheduler.later(0, calls.append, 3).cancel()
    scheduler.timeout(1, calls.append, 4).cancel()
    assert calls == [1, 2]
    assert scheduler.create_task is None
    first = scheduler.now()
    assert scheduler.now() >= first


def test_scheduler_for() -> None:
    """A transport's own scheduler is taken, else its reactor's, else none."""

    class WithReactor:
        reactor = Reactor()

    class Ours(WithReactor):
        scheduler = ImmediateScheduler()

    assert scheduler_for(Ours()) is Ours.scheduler
    assert type(scheduler_for(WithReactor())) is TwistedScheduler
    assert type(scheduler_for(StringTransport())) is ImmediateScheduler


def test_immediate_turns_do_not_nest() -> None:
    """A call scheduled within a call is made after it, also many times and after an error."""
    scheduler = ImmediateScheduler()
    calls: list[int] = []

    def turn(number: int) -> None:
        if number < 10_000:
            scheduler.soon(turn, number + 1)
        calls.append(number)

    scheduler.soon(turn, 0)
    assert calls == [*range(10_001)]

    def fail() -> None:
        raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        scheduler.soon(fail)
    scheduler.soon(calls.clear)
    assert calls == []


async def test_stepped_loop() -> None:
    """It is the loop in a callback of the loop; not in a task, in debug mode, or elsewhere."""
    loop = asyncio.get_running_loop()
    scheduler = LoopScheduler(loop)
    found: list[Any] = [scheduler.stepped_loop()]

    async def in_a_callback() -> None:
        done = asyncio.Event()
        loop.call_soon(lambda: (found.append(scheduler.stepped_loop()), done.set()))
        await done.wait()

    await in_a_callback()
    loop.set_debug(True)
    await in_a_callback()
    loop.set_debug(False)
    found.append(await asyncio.to_thread(scheduler.stepped_loop))
    assert found == [None, loop, None, None]
    assert ImmediateScheduler().stepped_loop() is None
    assert TwistedScheduler(None).stepped_loop() is None
