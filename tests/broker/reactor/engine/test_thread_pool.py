"""A pool of threads: the last call in each thread, and the end."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from broker.reactor import Reactor
from broker.reactor.engine.thread_pool import ThreadPool
from broker.reactor.threads import deferToThreadPool


def test_the_last_call_of_each_thread() -> None:
    """Each thread that has made calls makes the last one, after them; stop waits for it."""
    meeting = threading.Barrier(3)
    used: set[int] = set()
    left: list[int] = []

    def work() -> None:
        meeting.wait(10)
        used.add(threading.get_ident())

    pool = ThreadPool(0, 3, "leaving", at_end=lambda: left.append(threading.get_ident()))
    for _ in range(2):
        pool.start()
        for _ in range(3):
            pool.callInThread(work)
        pool.stop()
        assert used == set(left)
        assert len(left) == 3
        used.clear()
        left.clear()
    assert not [one for one in threading.enumerate() if one.name.startswith("leaving")]


def test_threads_that_made_no_call() -> None:
    """A pool that made no call starts no thread to end it."""
    left: list[int] = []
    pool = ThreadPool(at_end=lambda: left.append(1))
    pool.start()
    pool.stop()
    assert left == []


def test_a_last_call_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and the other threads end."""

    def fail() -> None:
        raise ValueError("the last")

    pool = ThreadPool(0, 2, at_end=fail)
    pool.start()
    pool.callInThread(int)
    pool.stop()
    assert ["the last call in a thread raised" in record.message for record in caplog.records] == [
        True,
        True,
    ]


def test_stop_in_a_thread_of_the_pool() -> None:
    """A call in the pool cannot wait for the end of the pool; a call in another pool can."""
    errors: list[BaseException | None] = []

    def stop(which: ThreadPool) -> None:
        try:
            which.stop()
            errors.append(None)
        except RuntimeError as error:
            errors.append(error)

    pool, other = ThreadPool(), ThreadPool()
    pool.start()
    other.start()
    pool.callInThread(stop, pool)
    pool.callInThread(stop, other)
    pool.stop()
    assert sorted("cannot wait" in str(error) for error in errors) == [False, True]


def test_a_loop_of_another_thread() -> None:
    """A Deferred of a call in a thread fires in the running loop, also outside the main thread."""
    seen: list[Any] = []

    async def program() -> None:
        pool = ThreadPool()
        pool.start()
        seen.append(await deferToThreadPool(Reactor(), pool, lambda: 7))
        pool.stop()

    thread = threading.Thread(target=asyncio.run, args=[program()])
    thread.start()
    thread.join(10)
    assert seen == [7]


async def test_stop_as_a_guest(reactor: Reactor) -> None:
    """In a loop of the program, stop does not wait for a call in a thread; its result arrives."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(10)
        return "done"

    slowly = deferToThreadPool(reactor, reactor.getThreadPool(), slow)
    await asyncio.to_thread(begun.wait, 10)
    reactor.stop()
    assert reactor.running
    go_on.set()
    assert await slowly == "done"
