"""Bridge: the future that an asyncio Task sees."""

import asyncio

import pytest

from broker.defer import CancelledError, Deferred
from broker.defer.awaiting import Bridge, TaskBridge, is_asyncio_cancellation, running_loop


def test_outcome():
    """A Bridge without an outcome says so; then it has the result or the exception."""
    deferred, failing = Deferred(), Deferred()
    bridges = Bridge(deferred), Bridge(failing)
    assert not bridges[0].done()
    assert not bridges[0].cancelled()
    for ask in (bridges[0].result, bridges[0].exception):
        with pytest.raises(RuntimeError, match="asTwisted"):
            ask()
    deferred.callback(1)
    error = ValueError()
    failing.errback(error)
    assert bridges[0].result() == 1
    assert bridges[0].exception() is None
    assert bridges[1].exception() is error
    with pytest.raises(ValueError):
        bridges[1].result()


def test_task_bridge():
    """The Bridge of a Task made of a Deferred returns its result as a coroutine does."""
    deferred = Deferred()
    bridge = TaskBridge(deferred)
    deferred.callback(1)
    with pytest.raises(StopIteration) as caught:
        bridge.result()
    assert caught.value.value == 1


def test_cancel():
    """A cancelled Bridge raises asyncio's CancelledError, with the message, once."""
    bridge = Bridge(Deferred())
    assert bridge.cancel("enough")
    assert bridge.done()
    assert bridge.cancelled()
    assert not bridge.cancel()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        bridge.result()


async def test_done_callbacks():
    """Done callbacks run in the loop and in their context, also those added too late."""
    deferred, seen = Deferred(), []
    bridge = Bridge(deferred)
    assert bridge.get_loop() is asyncio.get_running_loop()
    bridge.add_done_callback(seen.append)
    bridge.add_done_callback(seen.append)
    deferred.callback(1)
    assert seen == []
    await asyncio.sleep(0)
    assert seen == [bridge] * 2
    bridge.add_done_callback(seen.append)
    await asyncio.sleep(0)
    assert seen == [bridge] * 3


async def test_done_callback_without_asking_for_the_loop():
    """A done callback runs in the loop also where nobody asked which loop it is."""
    deferred, seen = Deferred(), []
    Bridge(deferred).add_done_callback(seen.append)
    deferred.callback(1)
    assert seen == []
    await asyncio.sleep(0)
    assert len(seen) == 1


def test_when_done():
    """Our driver is called at once, also if there is an outcome already."""
    deferred, seen = Deferred(), []
    bridge = Bridge(deferred)
    bridge.when_done(seen.append)
    deferred.callback(1)
    assert seen == [bridge]
    bridge.when_done(seen.append)
    assert seen == [bridge, bridge]
    bridge.interrupt()
    assert bridge.result() == 1


def test_cancelled_by_twisted():
    """A driver as Twisted's, which waits with addBoth and cancels, gets the end at once."""
    deferred, seen = Deferred(), []
    bridge = Bridge(deferred)
    bridge.addBoth(lambda result, more: seen.append((result.type, more)), 1)
    assert bridge.cancel()
    assert seen == [(CancelledError, 1)]
    assert deferred.called
    assert not bridge.cancel()


def test_one_of_two_cancelled_by_twisted():
    """Where somebody else awaits the Deferred, only the awaiter that is cancelled ends."""
    deferred, seen = Deferred(), []
    bridge, other = Bridge(deferred), Bridge(deferred)
    bridge.addBoth(seen.append)
    assert bridge.cancel()
    assert [failure.type for failure in seen] == [CancelledError]
    assert not deferred.called
    deferred.callback(1)
    assert other.result() == 1
    assert len(seen) == 1


def test_task_bridge_for_a_driver_that_resumes_at_once():
    """Such a driver gets what it can throw in: the return of a coroutine, or the fault."""
    deferred, failing, seen = Deferred(), Deferred(), []
    TaskBridge(deferred).addBoth(seen.append)
    TaskBridge(failing).addBoth(seen.append)
    deferred.callback("result")
    failing.errback(KeyError("fault"))
    assert [type(failure.value) for failure in seen] == [StopIteration, KeyError]
    assert seen[0].value.value == "result"


async def wait(deferred):
    """Await, as a coroutine."""
    return await deferred


@pytest.mark.parametrize("as_coroutine", [wait, lambda deferred: deferred])
@pytest.mark.parametrize("sent", [None, "what was yielded"])
def test_driver_that_does_not_wait(as_coroutine, sent):
    """Whoever resumes a coroutine without having waited is told so, and does not spin."""
    coroutine = as_coroutine(Deferred())
    yielded = coroutine.send(None)
    with pytest.raises(RuntimeError, match="asTwisted"):
        coroutine.send(sent and yielded)


def test_no_loop():
    """Without a running loop there is none to find, and cancellation is told from other errors."""
    assert running_loop() is None
    assert is_asyncio_cancellation(asyncio.CancelledError())
    assert not is_asyncio_cancellation(ValueError())
