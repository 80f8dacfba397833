"""The end of a pool: by itself, with its loop, with the reactor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.database_pools import add_two, count, pool_of, threads_of

from broker.defer import Deferred
from broker.reactor import Reactor
from broker.reactor import default as default_reactor
from broker.reactor.adbapi import ConnectionPool
from broker.reactor.threads import blockingCallFromThread, deferToThreadPool

Run = Callable[[], None]


def test_the_default_reactor(file: str) -> None:
    """Without cp_reactor the pool uses broker.reactor; it ends with asyncio.run, and starts again.

    Nobody closes it: asyncio.run does, and no thread is left.
    """
    pool = ConnectionPool("sqlite3", file, cp_name="module")
    assert pool._reactor is default_reactor

    async def program(name: str) -> Any:
        await pool.runInteraction(add_two, name, name + name)
        return await pool.runWithConnection(count)

    for number in (1, 2):
        assert asyncio.run(program(str(number))) == number * 2
        assert not pool.running
        assert pool.connections == {}
        assert threads_of(pool) == []
    pool.close()


def test_in_a_loop_of_another_thread(file: str) -> None:
    """In a loop that another thread than the main one runs, the results arrive too."""
    seen: list[Any] = []

    async def program() -> None:
        async with pool_of("sqlite3", file, cp_name="elsewhere") as pool:
            seen.append(await pool.runWithConnection(count))
            reactor = Reactor()
            late = deferToThreadPool(reactor, pool.threadpool, threading.get_ident)
            seen.append(await late != threading.get_ident())

    thread = threading.Thread(target=asyncio.run, args=[program()])
    thread.start()
    thread.join()
    assert seen == [0, True]


async def test_closing(database: Any, reactor: Reactor) -> None:
    """close waits for calls; later ones fail; start opens the pool again."""
    pool = ConnectionPool("fake_database", cp_reactor=reactor)
    done = pool.runQuery("one")
    await asyncio.to_thread(pool.close)
    assert await done == [(1,)]
    assert database.closed == database.opened
    with pytest.raises(RuntimeError, match="is closed; start"):
        await pool.runQuery("two")
    pool.start()
    assert await pool.runQuery("three") == [(1,)]
    with pytest.raises(RuntimeError, match="cannot wait"):
        await pool.runInteraction(lambda _: pool.close())
    await pool.aclose()
    await pool.aclose()
    assert database.statements == ["one", "three"]


async def test_calls_while_it_closes(database: Any) -> None:
    """A call that is made while aclose waits fails at once, and the pool stays closed."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(transaction: Any) -> None:
        begun.set()
        assert go_on.wait(10)

    pool = ConnectionPool("fake_database", cp_reactor=Reactor())
    slowly = pool.runInteraction(slow)
    await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.ensure_future(pool.aclose())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="is closed"):
        await pool.runQuery("late")
    go_on.set()
    await slowly
    await closing
    assert not pool.running
    assert database.statements == []


def test_close_before_the_start(reactor: Reactor, run: Run, database: Any) -> None:
    """A pool that is closed before the reactor runs does not start, and its calls fail."""
    pool = ConnectionPool("fake_database", cp_reactor=reactor)
    errors: list[type] = []
    pool.runQuery("one").addErrback(lambda failure: errors.append(failure.type))
    pool.close()
    assert errors == [RuntimeError]
    reactor.callLater(0, reactor.stop)
    run()
    assert not pool.running
    assert database.opened == []


@pytest.mark.parametrize("as_guest", [False, True])
def test_a_call_that_waits_for_the_loop(
    reactor: Reactor, run: Run, database: Any, as_guest: bool
) -> None:
    """At the end, a call in the pool may wait for the loop: nothing waits forever."""
    pool = ConnectionPool("fake_database", cp_reactor=reactor, cp_max=1)
    begun, go_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def ask(transaction: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        try:
            seen.append(blockingCallFromThread(reactor, lambda: 7))
        except BaseException as error:
            seen.append(type(error).__name__)

    async def program() -> None:
        pool.runInteraction(ask).addErrback(lambda _: None)
        await asyncio.to_thread(begun.wait, 10)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        if not as_guest:
            reactor.stop()

    if as_guest:
        asyncio.run(program())
    else:
        reactor.callWhenRunning(lambda: Deferred.fromCoroutine(program()))
        run()
    assert seen in ([7], ["ReactorNotRunning"])
    assert database.closed == database.opened
    assert not pool.running


def test_a_last_call(reactor: Reactor, run: Run, file: str) -> None:
    """A call that a trigger before shutdown makes is made, and its result arrives."""
    pool = ConnectionPool("sqlite3", file, cp_reactor=reactor)
    seen: list[Any] = []

    def note() -> Any:
        return pool.runWithConnection(count).addCallback(seen.append)

    reactor.addSystemEventTrigger("before", "shutdown", note)
    reactor.callLater(0, reactor.stop)
    run()
    assert seen == [0]


async def test_stop_in_a_loop_of_the_program(reactor: Reactor, database: Any) -> None:
    """There, stop closes the pool, and the loop does not wait for a call that runs."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(transaction: Any) -> str:
        begun.set()
        assert go_on.wait(10)
        return "done"

    pool = ConnectionPool("fake_database", cp_reactor=reactor)
    slowly = pool.runInteraction(slow)
    await asyncio.to_thread(begun.wait, 10)
    reactor.stop()
    assert not pool.running
    with pytest.raises(RuntimeError, match="is closed"):
        await pool.runQuery("late")
    go_on.set()
    assert await slowly == "done"
    while database.closed != database.opened:
        await asyncio.sleep(0)


async def test_a_pool_of_another_size(database: Any) -> None:
    """The threads of the old size close their connections."""
    async with pool_of("fake_database", cp_name="size") as pool:
        await pool.runQuery("one")
        pool.threadpool.adjustPoolsize(0, 2)
        await pool.runQuery("two")
        while len(database.closed) < 1:
            await asyncio.sleep(0)
    assert database.closed == database.opened
    assert len(database.opened) == 2


async def test_a_connection_that_cannot_be_closed(
    database: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the pool ends."""

    def close(self: Any) -> None:
        raise OSError("gone")

    async with pool_of("fake_database", cp_name="closing") as pool:
        await pool.runQuery("one")
        monkeypatch.setattr(type(database.opened[0]), "close", close)
    assert [record.message for record in caplog.records] == [
        "a connection to the database cannot be closed"
    ]


async def test_connections_of_other_threads(database: Any) -> None:
    """A connection that the program opened by connect, in its own thread, is closed at the end."""
    pool = ConnectionPool("fake_database", cp_reactor=Reactor())
    connection = pool.connect()
    assert connection is pool.connect()
    pool.close()
    assert database.closed == [connection]
