"""Driver: coroutines and generators without a Task."""

import asyncio
import contextvars

import pytest
from twisted.internet import defer as twisted_defer
from twisted.python import failure as twisted_failure

from broker.defer import (
    CancelledError,
    Deferred,
    drive,
    fail,
    inlineCallbacks,
    returnValue,
    succeed,
)


def failure_type(deferred):
    """Return the type of the failure, and handle it."""
    return deferred.addErrback(lambda failure: failure.type).result


async def wait(awaitable):
    """Await, as a coroutine."""
    return await awaitable


def test_runs_without_a_loop():
    """A coroutine runs to its first wait, and goes on in the call that fires."""
    first, steps = Deferred(), []

    async def work():
        steps.append("started")
        steps.append(await first)
        return await succeed("end")

    result = drive(work())
    assert steps == ["started"]
    first.callback("fired")
    assert steps == ["started", "fired"]
    assert result.result == "end"


def test_exceptions():
    """A failure raises where it is awaited, and what the coroutine raises fails the Deferred."""
    later = Deferred()
    result = drive(wait(later))
    later.errback(KeyError("k"))
    assert failure_type(result) is KeyError
    assert failure_type(drive(wait(fail(ValueError())))) is ValueError


def test_traceback_begins_in_the_coroutine():
    """The traceback of a failed coroutine begins in the coroutine."""

    async def broken():
        raise ValueError

    failure = drive(broken()).addErrback(lambda failure: [failure]).result[0]
    assert [frame[0] for frame in failure.frames] == ["broken"]


def test_many_waits_are_no_recursion():
    """A coroutine may await ten thousand results that are there already."""

    async def count():
        return sum([await succeed(1) for _ in range(10_000)])

    assert drive(count()).result == 10_000


def test_twisted_deferreds():
    """A Deferred of Twisted's is awaited: result, failure, and one that has fired."""
    results = [twisted_defer.Deferred() for _ in range(2)]
    driven = [drive(wait(result)) for result in results]
    results[0].callback(1)
    results[1].errback(twisted_failure.Failure(KeyError()))
    assert driven[0].result == 1
    assert failure_type(driven[1]) is KeyError
    assert drive(wait(twisted_defer.succeed(2))).result == 2
    error = ValueError()
    value = twisted_defer.Deferred()
    driven = drive(wait(value))
    value.callback(error)
    assert driven.result is error


async def test_asyncio_futures():
    """A future and sleep(0) are awaited in a running loop, outside of any Task."""
    future = asyncio.get_running_loop().create_future()
    failing = asyncio.get_running_loop().create_future()
    driven, bad = drive(wait(future)), drive(wait(failing))
    sleeping = drive(asyncio.sleep(0, "slept"))
    future.set_result(1)
    failing.set_exception(ValueError())
    assert not sleeping.called
    assert await driven == 1
    assert await sleeping == "slept"
    with pytest.raises(ValueError):
        await bad


def test_sleep_without_a_loop():
    """Without a loop sleep(0) goes on at once."""
    assert drive(asyncio.sleep(0, "slept")).result == "slept"


def test_unknown_awaitable():
    """An awaitable of another world is a TypeError in the coroutine."""

    class Alien:
        def __await__(self):
            yield self

    assert failure_type(drive(wait(Alien()))) is TypeError


def test_context():
    """Every step runs in the given context, by default in a copy of the current one."""
    name = contextvars.ContextVar("name", default="none")
    context = contextvars.copy_context()
    context.run(name.set, "given")
    first = Deferred()

    async def names():
        before = name.get()
        await first
        name.set("changed")
        return before, name.get()

    given, copied = drive(names(), context), drive(names())
    first.callback(None)
    assert given.result == ("given", "changed")
    assert copied.result == ("none", "changed")
    assert context[name] == "changed"
    assert name.get() == "none"


@pytest.mark.parametrize("make", [Deferred, twisted_defer.Deferred])
def test_cancel(make):
    """Cancelling cancels what is awaited, and its CancelledError ends the coroutine."""
    inner = make()
    driven = drive(wait(inner))
    driven.cancel()
    assert inner.called
    type_ = failure_type(driven)
    assert type_ in (CancelledError, twisted_defer.CancelledError)


async def test_cancel_of_a_future():
    """Cancelling a coroutine that awaits a future ends it with the CancelledError of Deferreds."""
    future = asyncio.get_running_loop().create_future()
    driven = drive(wait(future))
    driven.cancel()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        await driven


def test_cancel_can_be_survived():
    """A coroutine that catches CancelledError goes on, and decides what the result is."""
    first, second = Deferred(), Deferred()

    async def stubborn():
        try:
            await first
        except CancelledError:
            return await second

    driven = drive(stubborn())
    driven.cancel()
    assert not driven.called
    second.callback("survived")
    assert driven.result == "survived"


def test_cancel_of_one_of_two():
    """Cancelling one of two driven awaiters ends that one only."""
    shared = Deferred()
    first, second = drive(wait(shared)), drive(wait(shared))
    first.cancel()
    assert failure_type(first) is CancelledError
    shared.callback(1)
    assert second.result == 1


def test_cancel_oneself():
    """A coroutine that cancels its own Deferred is cancelled at its next wait."""
    ready, inner = Deferred(), Deferred()

    async def suicidal():
        await ready
        driven.cancel()
        await inner

    driven = drive(suicidal())
    ready.callback(None)
    assert inner.called
    assert failure_type(driven) is CancelledError


async def test_cancel_while_sleeping():
    """A coroutine cancelled in sleep(0) gets CancelledError at its next step."""
    driven = drive(asyncio.sleep(0))
    driven.cancel()
    with pytest.raises(CancelledError):
        await driven


def test_inline_callbacks():
    """A generator gets the results of all awaitables that it yields, and other values back."""
    later = Deferred()

    def nested():
        return (yield succeed("nested"))

    @inlineCallbacks
    def work(start):
        """Have a docstring."""
        results = [(yield start), (yield later), (yield twisted_defer.succeed(2)), (yield None)]
        results += [(yield nested()), (yield wait(succeed("coroutine")))]
        try:
            yield fail(KeyError())
        except KeyError:
            results.append("caught")
        return results

    result = work("plain")
    later.callback(1)
    assert result.result == ["plain", 1, 2, None, "nested", "coroutine", "caught"]
    assert work.__doc__ == "Have a docstring."


def test_return_value():
    """returnValue ends the generator with a value."""

    @inlineCallbacks
    def work():
        yield
        returnValue(5)

    assert work().result == 5


def test_inline_callbacks_raise():
    """What the generator raises, or does not catch, fails the Deferred."""

    @inlineCallbacks
    def work():
        yield fail(KeyError())

    assert failure_type(work()) is KeyError


def test_inline_callbacks_of_a_function():
    """A function that is no generator is refused when it is called."""
    with pytest.raises(TypeError, match="generator function"):
        inlineCallbacks(lambda: 1)()


def test_yield_from_a_deferred():
    """A generator may also use yield from on a Deferred."""
    later = Deferred()

    @inlineCallbacks
    def work():
        return (yield from later)

    result = work()
    later.callback(3)
    assert result.result == 3


@pytest.mark.parametrize("is_fired", [True, False])
def test_a_deferred_as_a_coroutine(is_fired):
    """A Deferred that is driven as a coroutine gives its result, or its fault."""
    deferred, failing = Deferred(), Deferred()
    if is_fired:
        deferred.callback(1)
        failing.errback(KeyError("fault"))
    driven = [Deferred.fromCoroutine(each) for each in (deferred, failing)]
    if not is_fired:
        deferred.callback(1)
        failing.errback(KeyError("fault"))
    assert driven[0].result == 1
    assert driven[1].addErrback(lambda failure: failure.type).result is KeyError
