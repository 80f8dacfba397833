"""System events, threads and name lookup, without a comparison with Twisted."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.defer import Deferred
from broker.reactor import Reactor
from broker.reactor.engine.system_events import SystemEvents
from broker.reactor.engine.thread_pool import ThreadPool
from broker.reactor.error import DNSLookupError, ReactorNotRunning
from broker.reactor.protocol import Factory
from broker.reactor.threads import blockingCallFromThread

Run = Callable[[], None]


def test_connections_before_shutdown(reactor: Reactor, run: Run, journal: Any) -> None:
    """Before shutdown connections work, also during the wait; during shutdown, none is left."""
    answered: Deferred[None] = Deferred()
    events: list[Any] = []

    def goodbye() -> Deferred[None]:
        clients[0].transport.write(b"goodbye")
        with pytest.raises(ReactorNotRunning):
            reactor.stop()
        return answered

    clients: list[Any] = []
    server = Factory.forProtocol(
        journal.protocol("server", dataReceived=lambda *_: answered.callback(None))
    )
    client = journal.client_factory(
        journal.protocol(
            "client",
            connectionMade=lambda p: (clients.append(p), reactor.callLater(0, reactor.stop)),
            connectionLost=lambda *_: events.append("lost"),
        )
    )
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, client)
    reactor.addSystemEventTrigger("before", "shutdown", goodbye)
    reactor.addSystemEventTrigger("during", "shutdown", lambda: events.append(reactor.running))
    run()
    assert answered.called
    assert events == ["lost", False]


def test_impatient(reactor: Reactor) -> None:
    """A second signal ends the wait for the results of triggers before shutdown."""
    waiting: list[Deferred[None]] = []

    def never() -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        waiting.append(deferred)
        reactor.callLater(0.01, signal.raise_signal, signal.SIGTERM)
        return deferred

    reactor.addSystemEventTrigger("before", "shutdown", never)
    reactor.callLater(0, signal.raise_signal, signal.SIGTERM)
    reactor.run()
    assert waiting[0].called


def test_async_trigger(reactor: Reactor, run: Run) -> None:
    """A trigger may be async def, and add others to its own phase."""
    seen: list[str] = []

    async def slow() -> None:
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "added")
        await asyncio.sleep(0.01)
        seen.append("slow")

    reactor.addSystemEventTrigger("before", "shutdown", slow)
    reactor.addSystemEventTrigger("after", "shutdown", seen.append, "after")
    reactor.callWhenRunning(reactor.stop)
    run()
    assert seen == ["added", "slow", "after"]


def test_guest(reactor: Reactor) -> None:
    """In an asyncio program startup happens with the loop, and shutdown with stop, each time."""
    seen: list[str] = []
    reactor.addSystemEventTrigger("during", "startup", seen.append, "startup")

    async def program() -> None:
        reactor.callLater(0, print)
        await asyncio.sleep(0)
        for number in range(2):
            wait: Deferred[None] = Deferred()
            reactor.addSystemEventTrigger("before", "shutdown", lambda wait=wait: wait)
            reactor.addSystemEventTrigger("after", "shutdown", seen.append, f"shutdown {number}")
            reactor.stop()
            seen.append("stopped")
            wait.callback(None)

    asyncio.run(program())
    assert seen == ["startup", "stopped", "shutdown 0", "stopped", "shutdown 1"]


def test_events_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An event waits for the results of its first phase; a failure is only logged."""
    events, seen = SystemEvents(), []
    first: Deferred[None] = Deferred()
    second: Deferred[None] = Deferred()
    for wait in (first, second):
        events.add("before", "end", lambda wait=wait: wait)
    events.add("during", "end", lambda: seen.append("during"))
    done = events.fire("end")
    first.errback(KeyError("late"))
    assert (seen, done.called) == ([], False)
    second.callback(None)
    assert (seen, done.called) == (["during"], True)
    assert "before end, failed" in caplog.text
    events.add("during", "end", lambda: seen.append("forgotten"))
    events.forget("end")
    events.fire("end")
    assert seen == ["during"]


def test_threads_are_waited_for(reactor: Reactor, run: Run) -> None:
    """When the reactor stops, calls in threads end, and may still call into the loop."""
    results: list[Any] = []
    began = threading.Event()

    def work() -> None:
        began.set()
        results.append(blockingCallFromThread(reactor, threading.get_ident))

    def stop_when_begun() -> None:
        assert began.wait(5)
        reactor.stop()

    reactor.callInThread(work)
    reactor.callWhenRunning(reactor.callLater, 0, stop_when_begun)
    run()
    assert results == [threading.get_ident()]
    assert not [one for one in threading.enumerate() if one.name.startswith("broker.reactor")]


async def test_blocking_the_loop() -> None:
    """A thread that runs a loop may not wait for it."""
    with pytest.raises(RuntimeError, match="without an event loop"):
        blockingCallFromThread(Reactor(), print)


def test_pool(caplog: pytest.LogCaptureFixture) -> None:
    """A pool makes calls queued before its start, in up to its maximum of threads."""
    pool = ThreadPool(0, 2, "test-pool")
    barrier, seen = threading.Barrier(2), []

    def work() -> None:
        barrier.wait(5)
        seen.append(threading.current_thread().name)

    for _ in range(4):
        pool.callInThread(work)
    assert seen == []
    pool.start()
    pool.callInThreadWithCallback(lambda *result: seen.append(result[0]), int, "no number")
    pool.callInThreadWithCallback(lambda *result: 1 / 0, int)
    pool.callInThread(int, "no number")
    pool.stop()
    assert (len(seen), len(set(seen) - {False})) == (5, 2)
    assert all(name.startswith("test-pool") for name in seen if name)
    assert caplog.text.count("ZeroDivisionError: ") == 1
    assert caplog.text.count("ValueError: ") == 1
    assert (pool.started, pool.joined) == (False, True)
    with pytest.raises(ValueError, match="sizes"):
        pool.adjustPoolsize(3, 2)


def test_pool_grows() -> None:
    """A pool that is made larger makes more calls at once, and still finishes earlier ones."""
    pool, barrier = ThreadPool(0, 1), threading.Barrier(3)
    pool.start()
    ended: list[int] = []
    pool.callInThread(lambda: ended.append(barrier.wait(5)))
    pool.adjustPoolsize(maxthreads=2)
    for _ in range(2):
        pool.callInThread(lambda: ended.append(barrier.wait(5)))
    pool.stop()
    assert sorted(ended) == [0, 1, 2]


def test_lookup_is_late(reactor: Reactor, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that takes too long fails like an unknown name."""
    release = threading.Event()
    monkeypatch.setattr(
        "broker.reactor.engine.reactor.socket.getaddrinfo", lambda *_: release.wait(5)
    )
    seen: list[Any] = []

    def over(failure: Any) -> None:
        seen.append(failure.type)
        release.set()
        reactor.stop()

    reactor.callWhenRunning(lambda: reactor.resolve("slow", timeout=(0.01,)).addErrback(over))
    run()
    assert seen == [DNSLookupError]
