"""cred.workers: few threads, a queue with an end, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from broker.defer import CancelledError
from cred.error import LoginDenied
from cred.workers import QUEUE, THREADS, QueueFull, Workers


class Gate:
    """Work that ends when the test says so, and counts who does it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.threads: set[int] = set()
        self.calls: list[int] = []

    def pass_through(self, number: int) -> int:
        """Wait for the gate, and return the number."""
        self.threads.add(threading.get_ident())
        self.calls.append(number)
        self.entered.release()
        assert self.opened.wait(10)
        return number

    def wait_for(self, count: int) -> None:
        """Wait until so many have come to the gate."""
        for _ in range(count):
            assert self.entered.acquire(timeout=10)


def worker_threads() -> list[threading.Thread]:
    """The threads of workers that live."""
    return [thread for thread in threading.enumerate() if thread.name == "cred-worker"]


def wait_for_the_end_of(threads: list[threading.Thread]) -> None:
    """Join threads that are about to end."""
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


async def test_work_is_done_elsewhere_and_comes_back(each_loop: Any) -> None:
    """A function runs in another thread; its result, or what it raises, arrives in this one."""
    workers = Workers()

    def divide(dividend: int, divisor: int) -> tuple[float, int]:
        return dividend / divisor, threading.get_ident()

    quotient, thread = await workers.run(divide, 6, divisor=3)
    assert quotient == 2
    assert thread != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await workers.run(divide, 1, 0)


async def test_work_that_raises_what_is_no_exception() -> None:
    """It arrives, too: whoever waits does not wait for ever."""
    workers = Workers()

    def fail() -> None:
        pytest.fail("on purpose")

    with pytest.raises(pytest.fail.Exception, match="on purpose"):
        await workers.run(fail)


async def test_two_at_a_time_and_in_turn() -> None:
    """Of five calls two run; the others wait and run in the order in which they came."""
    workers, gate = Workers(threads=2), Gate()

    waiting = [workers.run(gate.pass_through, number) for number in range(5)]
    await asyncio.to_thread(gate.wait_for, 2)
    assert sorted(gate.calls) == [0, 1]
    assert len(worker_threads()) == 2
    gate.opened.set()
    assert [await each for each in waiting] == [0, 1, 2, 3, 4]
    assert len(gate.threads) <= 2
    assert sorted(gate.calls) == [0, 1, 2, 3, 4]


async def test_a_full_queue() -> None:
    """Beyond two that run and 64 that wait a call is refused at once; later there is room again."""
    workers, gate = Workers(), Gate()

    waiting = [workers.run(gate.pass_through, number) for number in range(THREADS + QUEUE)]
    with pytest.raises(QueueFull, match=r"^login queue full$") as caught:
        await workers.run(gate.pass_through, 99)
    assert isinstance(caught.value, LoginDenied)
    gate.opened.set()
    for each in waiting:
        await each
    assert await workers.run(gate.pass_through, 100) == 100
    assert (THREADS, QUEUE) == (2, 64)
    assert 99 not in gate.calls


async def test_what_nobody_waits_for_is_not_done() -> None:
    """A call that is cancelled while it waits is never made, and its place is free."""
    workers, gate = Workers(threads=1, queue=1), Gate()

    first = workers.run(gate.pass_through, 1)
    await asyncio.to_thread(gate.wait_for, 1)
    second = workers.run(gate.pass_through, 2)
    second.cancel()
    with pytest.raises(CancelledError):
        await second
    third = workers.run(gate.pass_through, 3)
    gate.opened.set()
    assert await first == 1
    assert await third == 3
    assert gate.calls == [1, 3]


@pytest.mark.parametrize("number", [1, None], ids=["result", "error"])
async def test_what_is_cancelled_while_it_runs_arrives_nowhere(number: Any) -> None:
    """The outcome of a call that is no longer wanted is dropped, and costs nobody anything."""
    workers, gate = Workers(threads=1), Gate()
    disturbed: list[Any] = []

    def passed() -> int:
        return gate.pass_through(5) // number  # type: ignore[no-any-return]

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: disturbed.append(context))
    first = workers.run(passed)
    await asyncio.to_thread(gate.wait_for, 1)
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    second = workers.run(gate.pass_through, 2)
    gate.opened.set()
    assert await second == 2
    assert disturbed == []


async def test_no_thread_is_left_behind() -> None:
    """When there is no work, there are no threads; the next work starts one."""
    workers = Workers()

    found = [await workers.run(threading.current_thread) for _ in range(3)]
    # Also those that came too late for any work, and those that a test before has just let go.
    wait_for_the_end_of([*found, *worker_threads()])
    assert worker_threads() == []


async def test_nothing_is_kept_of_what_was_done() -> None:
    """What a function was given, such as a password, is let go when it has returned."""
    workers = Workers()

    class Secret:
        """Something whose end can be seen."""

    secret = Secret()
    await workers.run(id, secret)
    kept = weakref.ref(secret)
    del secret
    wait_for_the_end_of(worker_threads())
    gc.collect()
    assert kept() is None


def test_without_a_loop_the_work_is_done_in_place(outcome: Callable[[Any], Any]) -> None:
    """Where no loop could take the result, the function runs here, and the Deferred has fired."""
    workers = Workers()
    assert outcome(workers.run(threading.get_ident)) == threading.get_ident()
    with pytest.raises(ValueError, match=r"^invalid literal"):
        outcome(workers.run(int, "x"))


def test_a_loop_that_has_been_closed() -> None:
    """A result that comes too late for its loop is dropped without a word."""
    workers, gate = Workers(), Gate()

    async def begin() -> None:
        workers.run(gate.pass_through, 1)
        await asyncio.to_thread(gate.wait_for, 1)

    asyncio.run(begin())
    threads = worker_threads()
    gate.opened.set()
    wait_for_the_end_of(threads)


async def test_the_result_arrives_in_the_context_of_who_asked() -> None:
    """Callbacks see the context variables that were set when the work was given."""
    workers = Workers()
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    who.set("alice")
    assert await workers.run(int).addCallback(lambda result: who.get()) == "alice"
