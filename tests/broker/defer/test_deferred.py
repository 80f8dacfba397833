"""Deferred: awaiting it, from asyncio in all its implementations, and its doors to other worlds."""

import asyncio
import collections.abc
import contextlib

import pytest
import uvloop

from broker.defer import CancelledError, Deferred, TimeoutError, drive, fail, succeed
from broker.failure import Failure


def python_tasks():
    """Return a loop with Tasks in Python."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(lambda loop, coro, **kw: asyncio.tasks._PyTask(coro, loop=loop, **kw))
    return loop


@pytest.fixture(params=[asyncio.new_event_loop, python_tasks, uvloop.new_event_loop])
def each_loop(request):
    """Loops with Tasks in C, with Tasks in Python, and uvloop."""
    return request.param


def soon(function, *args):
    """Have the running loop call `function` in its next turn."""
    asyncio.get_running_loop().call_soon(function, *args)


async def wait(deferred):
    """Await, as a coroutine."""
    return await deferred


async def turn(times=3):
    """Let the loop turn a few times."""
    for _ in range(times):
        await asyncio.sleep(0)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.calls = []

    def callLater(self, delay, function):
        """Note the call."""
        call = DelayedCall(delay, function)
        self.calls.append(call)
        return call

    def advance(self, seconds):
        """Make the calls whose time has come."""
        for call in self.calls:
            call.delay -= seconds
            if call.active() and call.delay <= 0:
                call.is_active = False
                call.function()


class DelayedCall:
    """A call that the clock has noted."""

    def __init__(self, delay, function):
        self.delay, self.function, self.is_active = delay, function, True

    def active(self):
        """Tell whether the call is still to come."""
        return self.is_active

    def cancel(self):
        """Forget the call."""
        self.is_active = False


def test_is_a_coroutine():
    """A Deferred is a coroutine to whoever asks, and asking for Deferreds stays cheap."""
    assert isinstance(Deferred(), collections.abc.Coroutine)
    assert asyncio.iscoroutine(Deferred())
    assert type(Deferred) is type
    assert isinstance(Deferred[int](), Deferred)


async def test_await_a_result(each_loop):
    """Awaiting a Deferred that has its result gives it at once."""
    assert await succeed(1) == 1


async def test_await_a_failure(each_loop):
    """Awaiting a Deferred that has failed raises the exception."""
    with pytest.raises(ValueError, match="odd"):
        await fail(ValueError("odd"))


@pytest.mark.parametrize("how", ["await", "create_task", "gather", "wait_for", "TaskGroup"])
async def test_later_result(each_loop, how):
    """A result that comes later arrives in each way of waiting, and a failure raises there."""

    async def wait_in_that_way(deferred):
        if how == "create_task":
            return await asyncio.create_task(deferred)
        if how == "gather":
            return (await asyncio.gather(deferred))[0]
        if how == "wait_for":
            return await asyncio.wait_for(deferred, 30)
        if how == "TaskGroup":
            async with asyncio.TaskGroup() as group:
                task = group.create_task(deferred)
            return task.result()
        return await deferred

    deferred = Deferred()
    soon(deferred.callback, "result")
    assert await wait_in_that_way(deferred) == "result"
    assert await wait_in_that_way(deferred) == "result"
    failing = Deferred()
    soon(failing.errback, ValueError("odd"))
    for _ in range(2):
        try:
            await wait_in_that_way(failing)
        except* ValueError as group:
            assert len(group.exceptions) == 1
        else:
            pytest.fail("no ValueError")


def test_asyncio_run():
    """asyncio.run takes a Deferred."""
    assert asyncio.run(succeed("result")) == "result"
    with pytest.raises(ValueError):
        asyncio.run(fail(ValueError()))


async def test_awaiting_consumes_nothing(each_loop):
    """Callbacks and awaiters that come later see what the first awaiter got."""
    deferred, seen = Deferred(), []
    soon(deferred.callback, 1)
    assert await deferred == 1
    deferred.addCallback(lambda n: seen.append(n) or n + 1)
    assert await deferred == 2
    assert seen == [1]
    failing = Deferred()
    soon(failing.errback, ValueError())
    with pytest.raises(ValueError):
        await failing
    assert failing.addErrback(lambda failure: failure.type).result is ValueError


async def test_an_awaiter_has_a_place_in_the_chain(each_loop):
    """An awaiter gets the result of the callbacks before it, not of those after it."""
    deferred = Deferred()
    deferred.addCallback(lambda n: n + 1)
    as_coroutine = asyncio.create_task(wait(deferred))
    as_task = asyncio.create_task(deferred)
    await turn()
    deferred.addCallback(str)
    deferred.callback(1)
    assert await asyncio.gather(as_coroutine, as_task) == [2, 2]
    assert deferred.result == "2"


async def test_awaiting_a_chain_that_waits(each_loop):
    """A Deferred that waits for another is awaited to the end, also when it was fired before."""
    inner = Deferred()
    outer = succeed(1).addCallback(lambda _: inner)
    task = asyncio.create_task(outer)
    soon(inner.callback, 5)
    assert await outer == 5
    assert await task == 5


@pytest.mark.parametrize("as_task", [wait, lambda deferred: deferred])
async def test_two_awaiters(each_loop, as_task):
    """Of two awaiting tasks one may be cancelled; the other gets the result."""
    deferred = Deferred()
    first, second = (asyncio.create_task(as_task(deferred)) for _ in range(2))
    await turn()
    first.cancel("enough")
    await turn()
    assert first.cancelled()
    assert not deferred.called
    assert len(deferred._items) == 1
    deferred.callback(1)
    assert await second == 1


@pytest.mark.parametrize("as_task", [wait, lambda deferred: deferred])
async def test_last_awaiter(each_loop, as_task, caplog):
    """Cancelling the last awaiter cancels the Deferred, and nothing is logged for it."""
    calls = []
    deferred = Deferred(calls.append)
    tasks = [asyncio.create_task(as_task(deferred)) for _ in range(2)]
    await turn()
    for task in tasks:
        task.cancel()
    await turn()
    assert all(task.cancelled() for task in tasks)
    assert calls == [deferred]
    assert deferred.result.check(CancelledError)
    deferred.addCallback(str)
    assert caplog.records == []


async def test_last_awaiter_again(each_loop):
    """A Deferred that outlives the cancellation of its last awaiter is cancelled by the next."""
    steps = [Deferred() for _ in range(3)]

    async def stubborn():
        for step in steps:
            with contextlib.suppress(CancelledError):
                await step

    work = drive(stubborn())
    for step in steps:
        task = asyncio.create_task(wait(work))
        await turn()
        assert not step.called
        task.cancel()
        await turn()
        assert step.called
    assert work.called


async def test_awaiting_in_a_callback(each_loop):
    """A coroutine started by a callback, and awaiting its Deferred, gets what the callback left."""
    deferred, driven = Deferred(), []
    deferred.addCallback(lambda n: driven.append(drive(wait(deferred))) or n + 1)
    deferred.callback(1)
    assert await driven[0] == 2


async def test_cancelled_before_it_started(each_loop, caplog):
    """A Task of a Deferred that is cancelled before its first step cancels the Deferred."""
    deferred = Deferred()
    task = asyncio.create_task(deferred)
    task.cancel()
    await turn()
    assert task.cancelled()
    assert deferred.called
    assert caplog.records == []


async def test_cancelled_after_the_result(each_loop):
    """A task cancelled between the result and its wakeup is cancelled, and keeps its message."""
    deferred = Deferred()
    task = asyncio.create_task(wait(deferred))
    await turn()
    deferred.callback(1)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert deferred.result == 1


async def test_wait_for_times_out(each_loop):
    """wait_for cancels the Deferred when the time is over."""
    deferred = Deferred()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(deferred, 0.001)
    assert deferred.result.check(CancelledError)
    async with asyncio.timeout(30):
        assert await succeed(1) == 1


async def test_cancelled_deferred_raises_in_its_awaiters(each_loop):
    """cancel() raises CancelledError of broker.defer in the awaiter, which is not cancelled."""
    deferred = Deferred()
    soon(deferred.cancel)
    with pytest.raises(CancelledError):
        await deferred
    assert asyncio.current_task().cancelling() == 0


def test_closed_awaiter_leaves_the_chain():
    """A coroutine that is closed while it awaits leaves the Deferred alone."""
    deferred = Deferred()
    coroutine = wait(deferred)
    coroutine.send(None)
    coroutine.close()
    assert deferred._items == []
    deferred.close()
    assert not deferred.called


def test_unknown_driver():
    """A driver that resumes an awaiting coroutine too early is told what is wrong."""
    coroutine = wait(Deferred())
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="asTwisted"):
        coroutine.send(None)


def test_throw_forms():
    """throw takes an exception, or as in older code its class, value and traceback."""
    error = ValueError()
    for args in ((error,), (ValueError, error), (ValueError, error, None)):
        with pytest.raises(ValueError) as caught:
            Deferred().throw(*args)
        assert caught.value is error
    with pytest.raises(KeyError):
        Deferred().throw(KeyError)
    with pytest.raises(ValueError) as other:
        int("x")
    tb = Failure(other.value).tb
    with pytest.raises(ValueError) as caught:
        Deferred().throw(ValueError, error, tb)
    assert tb in list(frames_of(caught.value.__traceback__))


def frames_of(tb):
    """Yield the traceback, entry by entry."""
    while tb is not None:
        yield tb
        tb = tb.tb_next


def test_timeout():
    """addTimeout cancels in time, and turns CancelledError into TimeoutError."""
    clock, deferred = Clock(), Deferred()
    deferred.addTimeout(5, clock)
    clock.advance(4.9)
    assert not deferred.called
    clock.advance(0.2)
    failure = deferred.result
    deferred.addErrback(lambda _: None)
    assert failure.trap(TimeoutError)
    assert isinstance(failure.value, asyncio.TimeoutError)
    assert failure.value.args == (5, "Deferred")
    assert failure.getErrorMessage() == "no result within 5 seconds"
    assert str(TimeoutError()) == "no result in time"


def test_timeout_that_is_not_needed():
    """A result in time stops the clock."""
    clock, deferred = Clock(), Deferred()
    deferred.addTimeout(5, clock)
    deferred.callback(1)
    assert deferred.result == 1
    assert not clock.calls[0].active()


def test_timeout_and_a_canceller_that_answers():
    """A canceller's own result survives a timeout, and so does its own failure."""
    clock = Clock()
    good = Deferred(lambda deferred: deferred.callback("partial")).addTimeout(1, clock)
    bad = Deferred(lambda deferred: deferred.errback(KeyError())).addTimeout(1, clock)
    clock.advance(1)
    assert good.result == "partial"
    assert bad.addErrback(lambda failure: failure.type).result is KeyError


def test_on_timeout_cancel():
    """onTimeoutCancel makes the result of a timeout, and of nothing else."""
    clock = Clock()
    late, early = (
        Deferred().addTimeout(1, clock, lambda failure, timeout: (failure.type, timeout))
        for _ in range(2)
    )
    early.cancel()
    clock.advance(1)
    assert late.result == (CancelledError, 1)
    assert early.addErrback(lambda failure: failure.type).result is CancelledError


async def test_as_future():
    """asFuture gives a future the result or the exception, and takes it from the chain."""
    loop = asyncio.get_running_loop()
    deferred, failing, given_up = Deferred(), Deferred(), Deferred()
    futures = [each.asFuture(loop) for each in (deferred, failing, given_up)]
    deferred.callback(1)
    failing.errback(ValueError())
    assert await futures[0] == 1
    with pytest.raises(ValueError):
        await futures[1]
    assert (deferred.result, failing.result) == (None, None)
    futures[2].cancel()
    await turn()
    assert given_up.called
    assert given_up.result is None
    late = Deferred()
    future = late.asFuture(loop)
    future.cancel()
    late.callback(1)
    await turn()


async def test_from_future():
    """fromFuture gives the future's result, its exception, or CancelledError."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(4)]
    results = [Deferred.fromFuture(future) for future in futures]
    futures[0].set_result(1)
    futures[1].set_exception(ValueError())
    futures[2].cancel()
    results[3].cancel()
    assert futures[3].cancelled()
    assert await results[0] == 1
    for result, error in zip(
        results[1:], (ValueError, CancelledError, CancelledError), strict=True
    ):
        with pytest.raises(error):
            await result
