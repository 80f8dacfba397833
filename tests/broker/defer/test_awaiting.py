"""Bridge: the future that an asyncio Task sees."""

import asyncio

import pytest

from broker.defer import Deferred
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


def test_done_callbacks():
    """Done callbacks run in the loop and in their context, also those added too late."""

    async def main():
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

    asyncio.run(main())


def test_done_callback_without_asking_for_the_loop():
    """A done callback runs in the loop also where nobody asked which loop it is."""

    async def main():
        deferred, seen = Deferred(), []
        Bridge(deferred).add_done_callback(seen.append)
        deferred.callback(1)
        assert seen == []
        await asyncio.sleep(0)
        assert len(seen) == 1

    asyncio.run(main())


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


def test_no_loop():
    """Without a running loop there is none to find, and cancellation is told from other errors."""
    assert running_loop() is None
    assert is_asyncio_cancellation(asyncio.CancelledError())
    assert not is_asyncio_cancellation(ValueError())
