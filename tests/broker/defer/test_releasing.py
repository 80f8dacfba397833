"""Releasing: what a Deferred brought is freed by reference counts alone, as soon as it is dropped.

The garbage collector is off in every test here, so a cycle would keep an object alive.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    drive,
    execute,
    fail,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    returnValue,
)
from broker.failure import Failure
from broker.flavors.local import LocalAsRemote
from broker.reactor.engine.thread_pool import ThreadPool
from broker.reactor.task.clock import Clock


class Thing:
    """Something that was received, or that a frame holds."""


class Boom(Exception):
    """What a test raises."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Turn the garbage collector off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Held:
    """Weak references to what must be gone."""

    def __init__(self) -> None:
        self._noted: dict[str, Callable[[], Any]] = {}

    def note(self, name: str, thing: Any) -> None:
        """Have an eye on something."""
        self._noted[name] = weakref.ref(thing)

    def left(self) -> list[str]:
        """Return the names of what is still alive."""
        assert self._noted
        return [name for name, thing in self._noted.items() if thing() is not None]


@inlineCallbacks
def by_inline_callbacks(steps: list[Any], held: Held) -> Any:
    """Receive a value, drop it, catch an exception, and go on waiting."""
    value = yield steps.pop(0)
    held.note("value", value)
    del value
    try:
        yield steps.pop(0)
    except Boom as error:
        held.note("error", error)
    yield steps.pop(0)


@inlineCallbacks
def by_yield_from(steps: list[Any], held: Held) -> Any:
    """Do so with ``yield from``, as typed programs do."""
    value = yield from steps.pop(0)
    held.note("value", value)
    del value
    try:
        yield from steps.pop(0)
    except Boom as error:
        held.note("error", error)
    yield from steps.pop(0)


@inlineCallbacks
def by_inner_generator(steps: list[Any], held: Held) -> Any:
    """Do so in a generator that another one yields."""
    yield by_inline_callbacks.__wrapped__(steps, held)  # type: ignore[attr-defined]


@inlineCallbacks
def by_coroutines(steps: list[Any], held: Held) -> Any:
    """Do so with coroutines that are yielded."""
    yield by_await(steps, held)


async def by_await(steps: list[Any], held: Held) -> Any:
    """Do so in a coroutine."""
    value = await steps.pop(0)
    held.note("value", value)
    del value
    try:
        await steps.pop(0)
    except Boom as error:
        held.note("error", error)
    await steps.pop(0)


def by_driver(steps: list[Any], held: Held) -> Any:
    """Have our own driver run the coroutine."""
    return drive(by_await(steps, held))


ALL_WAYS = [by_inline_callbacks, by_yield_from, by_inner_generator, by_coroutines, by_driver]


@pytest.mark.parametrize("way", ALL_WAYS)
@pytest.mark.parametrize("is_early", [False, True])
def test_nothing_is_held_until_the_next_value(way: Any, is_early: bool) -> None:
    """While the next value is waited for, the last one and a caught exception are gone."""
    held, steps, last = Held(), [Deferred(), Deferred()], Deferred()

    def fire() -> None:
        steps[0].callback(Thing())
        steps[1].errback(Boom())

    if is_early:
        fire()
    running = way([*steps, last], held)
    if not is_early:
        fire()
    steps.clear()
    assert held.left() == []
    last.callback(None)
    assert running.called


async def test_nothing_is_held_under_a_task() -> None:
    """Under an asyncio Task nothing is held until the next value either."""

    def soon(result: Any) -> Deferred[Any]:
        deferred: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_soon(deferred.callback, result)
        return deferred

    held, last = Held(), Deferred()
    steps = [soon(Thing()), soon(Failure(Boom())), last]
    task = asyncio.create_task(by_await(steps, held))
    while steps:
        await asyncio.sleep(0)
    assert held.left() == []
    last.callback(None)
    await task


async def test_a_task_of_the_deferred_itself() -> None:
    """The exception of ``create_task(deferred)`` goes with the task."""

    held = Held()
    for is_early in (True, False):
        deferred: Deferred[Any] = Deferred()
        if is_early:
            deferred.errback(Boom())
        else:
            asyncio.get_running_loop().call_soon(deferred.errback, Boom())
        task = asyncio.create_task(deferred)
        del deferred
        try:
            await task
        except Boom as error:
            held.note(f"error {is_early}", error)
        del task
    # The loop keeps a callback until the turn after it.
    await asyncio.sleep(0)
    assert held.left() == []


@pytest.mark.parametrize("ending", ["return", "returnValue", "raise", "fail", "cancel"])
def test_a_generator_that_ended(ending: str) -> None:
    """When a generator has ended, its frame, what it got and what it raised are gone."""
    held, first = Held(), Deferred()
    steps = [first]

    @inlineCallbacks
    def work() -> Any:
        local = Thing()
        held.note("local", local)
        got = yield steps.pop()
        held.note("got", got)
        if ending == "return":
            return Thing()
        if ending == "returnValue":
            returnValue(Thing())
        raise Boom

    running = work()
    held.note("running", running)
    running.addCallbacks(
        lambda result: held.note("result", result),
        lambda failure: held.note("error", failure.value),
    )
    if ending == "cancel":
        running.cancel()
    elif ending == "fail":
        first.errback(Boom())
    else:
        first.callback(Thing())
    del running, first
    assert held.left() == []


def test_a_cancellation_that_was_caught() -> None:
    """A CancelledError that a coroutine has caught is gone while it waits for something else."""
    held, last = Held(), Deferred()

    async def work() -> None:
        try:
            await Deferred()
        except CancelledError as error:
            held.note("error", error)
        await last

    running = drive(work())
    running.cancel()
    assert held.left() == []
    last.callback(None)


def test_a_failure_that_was_there_before() -> None:
    """A failed Deferred goes with its last user, also when awaited twice."""
    held = Held()
    deferred = fail(Boom())
    held.note("error", deferred.result.value)

    async def wait(awaitable: Any) -> None:
        try:
            await awaitable
        except Boom:
            awaitable = None

    for _ in range(2):
        drive(wait(deferred))
    del deferred
    assert held.left() == []


def raises() -> None:
    """Raise, with something in the frame."""
    local = Thing()
    raise Boom(weakref.ref(local))


class Local(LocalAsRemote):
    """Has a method that fails."""

    reportAllTracebacks = False

    def async_raises(self) -> None:
        """Fail."""
        raises()


@pytest.mark.parametrize("call", [maybeDeferred, execute, lambda f: Local().callRemote("raises")])
@pytest.mark.parametrize("is_handled", [False, True])
def test_a_function_that_raised(call: Any, is_handled: bool, caplog: Any) -> None:
    """A Deferred that failed at once is freed when dropped; so its failure is logged then."""
    held = Held()
    deferred = call(raises)
    held.note("error", deferred.result.value)
    held.note("deferred", deferred)
    if is_handled:
        deferred.addErrback(lambda failure: None)
    del deferred
    assert ("Unhandled error" in caplog.text) is not is_handled
    caplog.clear()  # a record holds its arguments
    assert held.left() == []


def test_an_errback_that_raises_what_it_got() -> None:
    """`trap` in an errback lets the same failure go on, and no cycle comes of it."""
    held = Held()
    deferred: Deferred[Any] = Deferred()
    deferred.addErrback(lambda failure: failure.trap(KeyError))
    deferred.addErrback(lambda failure: failure.raiseException())
    failure = Failure(Boom())
    held.note("error", failure.value)
    deferred.errback(failure)
    assert deferred.result is failure
    assert failure.value.__traceback__ is None
    deferred.addErrback(lambda failure: None)
    del failure
    assert held.left() == []


def test_a_chain_that_went_on() -> None:
    """A chain that goes on with a result does not hold the failure before it."""
    held = Held()
    deferred = fail(Boom())
    held.note("error", deferred.result.value)
    deferred.addErrback(lambda failure: None)
    outer: Deferred[Any] = Deferred()
    inner = fail(Boom())
    held.note("inner error", inner.result.value)
    outer.addCallback(lambda _: inner)
    outer.callback(None)
    outer.addErrback(lambda failure: None)
    assert held.left() == []


def test_a_time_limit() -> None:
    """A Deferred with a time limit is freed when it fired, and when it was late."""
    clock, held = Clock(), Held()
    quick: Deferred[Any] = Deferred()
    slow: Deferred[Any] = Deferred()
    for name, deferred in (("quick", quick), ("slow", slow)):
        deferred.addTimeout(5, clock)
        held.note(name, deferred)
    quick.callback(Thing())
    held.note("value", quick.result)
    clock.advance(6)
    assert isinstance(slow.result.value, TimeoutError)
    held.note("error", slow.result.value)

    async def wait(awaitable: Any) -> None:
        try:
            await awaitable
        except TimeoutError:
            awaitable = None

    drive(wait(slow))
    del quick, slow, deferred
    assert held.left() == []


@pytest.mark.parametrize("gather", [gatherResults, lambda ds, **kw: DeferredList(ds, True, True)])
def test_a_list_that_has_fired(gather: Any) -> None:
    """A list that fired early is not held by the Deferreds that have not."""
    held = Held()
    one: Deferred[Any] = Deferred()
    other: Deferred[Any] = Deferred()
    together = gather([one, other], consumeErrors=True)
    held.note("together", together)
    held.note("other", other)
    together.addErrback(lambda failure: held.note("error", failure.value.subFailure.value))
    one.errback(Boom())
    one.addErrback(lambda failure: None)
    del one, other, together
    assert held.left() == []


def test_a_race() -> None:
    """A race that is decided, or that all have lost, leaves nothing."""
    held = Held()
    for has_winner in (True, False):
        runners: list[Deferred[Any]] = [Deferred(), Deferred()]
        first = race(runners)
        held.note(f"first {has_winner}", first)
        first.addErrback(lambda failure: None)
        for number, runner in enumerate(runners):
            held.note(f"runner {has_winner} {number}", runner)
            if not runner.called:
                runner.callback(Thing()) if has_winner else runner.errback(Boom())
        del runners, first, runner
    assert held.left() == []


def test_a_thread() -> None:
    """What work in a thread raised goes with whoever was told."""
    held, pool = Held(), ThreadPool(0, 1)
    pool.callInThreadWithCallback(
        lambda success, failure: held.note("error", failure.value), raises
    )
    pool.start()
    pool.stop()
    assert held.left() == []
