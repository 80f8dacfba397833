"""Threads that wait for the reactor's loop get a result, or an error with a reason."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import broker.reactor
from broker.defer import Deferred
from broker.reactor import Reactor
from broker.reactor.error import ReactorNotRunning
from broker.reactor.threads import blockingCallFromThread

Run = Callable[[], None]


class Boom(Exception):
    """The exception of a call."""


def boom() -> None:
    """Raise."""
    raise Boom


class Thread(threading.Thread):
    """Waits for the reactor, and keeps the outcome."""

    def __init__(self, reactor: Any, f: Callable[..., Any], *args: Any):
        super().__init__(daemon=True)
        self.reactor, self.call, self.args = reactor, f, args
        self.outcome: Any = None

    def run(self) -> None:
        """Wait."""
        try:
            self.outcome = blockingCallFromThread(self.reactor, self.call, *self.args)
        except Exception as error:
            self.outcome = error

    def ended(self) -> Any:
        """Return the outcome."""
        self.join(20)
        assert not self.is_alive()
        return self.outcome


def test_stop_releases_a_thread(reactor: Reactor, run: Run) -> None:
    """A thread that waits for a Deferred is released when the reactor stops."""

    def hang() -> Any:
        reactor.callLater(0, reactor.stop)
        return Deferred()

    thread = Thread(reactor, hang)
    reactor.callWhenRunning(thread.start)
    run()
    error = thread.ended()
    assert type(error) is ReactorNotRunning
    assert str(error) == "the reactor has stopped before the call had a result"


def test_stop_releases_the_threads_of_the_pool(reactor: Reactor, run: Run) -> None:
    """The reactor waits for its pool, whose threads wait for the reactor: they are released."""
    seen: list[Any] = []

    def work() -> None:
        for call in (lambda: reactor.callLater(0, reactor.stop) and Deferred(), Deferred, str):
            try:
                seen.append(blockingCallFromThread(reactor, call))
            except ReactorNotRunning as error:
                seen.append(str(error))

    reactor.callInThread(work)
    run()
    text = "the reactor has stopped before the call had a result"
    assert seen == [text, text, ""]


def test_after_the_end(reactor: Reactor, caplog: Any) -> None:
    """After the end a thread does not wait, and a call that is never made is logged."""
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    error = Thread(reactor, str)
    error.start()
    assert type(error.ended()) is ReactorNotRunning
    assert "callFromThread after the reactor has stopped" in caplog.text


def test_while_run_makes_its_loop(caplog: Any) -> None:
    """A call that a thread makes in that moment waits for the loop; the thread waits for it too."""
    threads: list[Thread] = []

    def make_loop() -> asyncio.AbstractEventLoop:
        called = threading.Thread(target=reactor.callFromThread, args=(str,))
        called.start()
        called.join()
        threads.append(Thread(reactor, lambda: reactor.callLater(0, reactor.stop) and 12))
        threads[0].start()
        while len(reactor._from_threads) < 2:
            pass
        return asyncio.new_event_loop()

    reactor = Reactor(loop_factory=make_loop)
    reactor.run()
    assert threads[0].ended() == 12
    assert "after the reactor has stopped" not in caplog.text


def test_before_the_start(reactor: Reactor, run: Run) -> None:
    """A thread that calls before the start waits for it."""
    thread = Thread(reactor, lambda: reactor.callLater(0, reactor.stop) and 12)
    thread.start()
    run()
    assert thread.ended() == 12


@pytest.mark.parametrize("make", [Reactor, lambda: broker.reactor])
async def test_a_program_of_asyncio(make: Any) -> None:
    """If the main thread runs asyncio, calls from threads are made there."""
    reactor = make()

    here, called = threading.get_ident(), asyncio.Event()
    await asyncio.to_thread(reactor.callFromThread, called.set)
    await called.wait()
    assert await asyncio.to_thread(blockingCallFromThread, reactor, threading.get_ident) == here
    with pytest.raises(KeyError):
        await asyncio.to_thread(blockingCallFromThread, reactor, {}.pop, 1)


async def test_a_call_from_the_loop_itself() -> None:
    """callFromThread in a coroutine makes the call soon."""
    reactor = Reactor()

    called = asyncio.Event()
    reactor.callFromThread(called.set)
    assert not called.is_set()
    await called.wait()


@pytest.mark.parametrize("is_of_asyncio", [False, True])
def test_the_end_of_asyncio(is_of_asyncio: bool) -> None:
    """When asyncio.run ends, threads that wait for it are released, including its own."""
    reactor = Reactor()
    outcome: list[Any] = []

    async def program() -> None:
        begun = asyncio.Event()

        def hang() -> Any:
            begun.set()
            return Deferred()

        if is_of_asyncio:
            waiting = asyncio.to_thread(Thread(reactor, hang).run)
            outcome.append(asyncio.create_task(waiting))
        else:
            outcome.append(Thread(reactor, hang))
            outcome[0].start()
        await begun.wait()

    asyncio.run(program())
    if not is_of_asyncio:
        assert type(outcome[0].ended()) is ReactorNotRunning


def test_a_loop_that_ended() -> None:
    """Calls to an asyncio loop that has ended are an error, as asyncio's own are."""
    reactor = Reactor()

    async def program() -> None:
        reactor.callLater(0, print)

    asyncio.run(program())
    with pytest.raises(RuntimeError, match=r"Event loop is closed.*not made"):
        reactor.callFromThread(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        blockingCallFromThread(reactor, print)


def test_a_loop_that_ends_unannounced(monkeypatch: Any) -> None:
    """A loop that is closed without notice is detected by the threads that wait for it."""
    monkeypatch.setattr("broker.reactor.engine.waiting_threads.LOOK_AGAIN", 0.01)
    reactor, loop = Reactor(), asyncio.new_event_loop()
    begun = threading.Event()

    def hang() -> Any:
        begun.set()
        loop.stop()
        return Deferred()

    thread = Thread(reactor, hang)
    loop.call_soon(reactor.callLater, 0, thread.start)
    loop.run_forever()
    assert begun.wait(5)
    loop.close()
    assert "Event loop is closed" in str(thread.ended())


def test_no_cycle(reactor: Reactor, run: Run) -> None:
    """The exception in a waiting thread is freed by reference counts."""
    gone: list[Any] = []

    def work() -> None:
        try:
            blockingCallFromThread(reactor, boom)
        except Boom as error:
            gone.append(weakref.ref(error))
        reactor.callFromThread(reactor.stop)

    gc.collect()
    gc.disable()
    try:
        reactor.callInThread(work)
        run()
        assert [one() for one in gone] == [None]
    finally:
        gc.enable()
