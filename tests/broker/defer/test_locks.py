"""Locks, semaphores and queues."""

import pytest

from broker.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    QueueOverflow,
    QueueUnderflow,
    drive,
)


def test_semaphore():
    """A semaphore lets in as many as it has tokens, the others in the order of asking."""
    semaphore = DeferredSemaphore(2)
    turns = [semaphore.acquire() for _ in range(4)]
    assert [turn.called for turn in turns] == [True, True, False, False]
    assert (semaphore.tokens, semaphore.limit, len(semaphore.waiting)) == (0, 2, 2)
    semaphore.release()
    assert [turn.called for turn in turns] == [True, True, True, False]
    assert turns[2].result is semaphore
    with pytest.raises(ValueError, match="at least 1"):
        DeferredSemaphore(0)


def test_lock():
    """A lock lets in one at a time, and cannot be released by nobody."""
    lock = DeferredLock()
    assert not lock.locked
    first, second = lock.acquire(), lock.acquire()
    assert lock.locked
    assert first.called
    assert not second.called
    lock.release()
    assert second.called
    lock.release()
    assert not lock.locked
    with pytest.raises(AssertionError, match="DeferredLock released more often"):
        lock.release()


def test_leaving_the_line():
    """A cancelled acquire leaves the line."""
    lock = DeferredLock()
    lock.acquire()
    turn, after = lock.acquire(), lock.acquire()
    turn.cancel()
    assert turn.addErrback(lambda failure: failure.type).result is CancelledError
    lock.release()
    assert after.called


def test_run():
    """run holds the lock until the result is there, also of a coroutine or a failure."""
    lock, later = DeferredLock(), Deferred()

    async def work(by, plus):
        return (await later) * by + plus

    result = lock.run(work, 2, plus=1)
    failing = lock.run(int, "x")
    assert lock.locked
    later.callback(5)
    assert result.result == 11
    assert failing.addErrback(lambda failure: failure.type).result is ValueError
    assert not lock.locked


def test_async_with():
    """async with holds the lock in its body, and releases it also on an exception."""
    lock = DeferredLock()

    async def work():
        async with lock as held:
            assert held is lock
            assert lock.locked
            raise ValueError

    assert drive(work()).addErrback(lambda failure: failure.type).result is ValueError
    assert not lock.locked


def test_queue():
    """A queue gives objects in order, to those who wait in order."""
    queue = DeferredQueue()
    waiting = [queue.get() for _ in range(2)]
    for item in "abc":
        queue.put(item)
    assert [turn.result for turn in waiting] == ["a", "b"]
    assert list(queue.pending) == ["c"]
    assert queue.get().result == "c"


def test_queue_limits():
    """A queue holds at most `size` objects, and lets at most `backlog` wait."""
    queue = DeferredQueue(size=1, backlog=1)
    queue.put("a")
    with pytest.raises(QueueOverflow):
        queue.put("b")
    queue.get()
    waiting = queue.get()
    with pytest.raises(QueueUnderflow):
        queue.get()
    waiting.cancel()
    assert waiting.addErrback(lambda failure: failure.type).result is CancelledError
    assert not queue.waiting
