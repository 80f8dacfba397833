"""A pool of connections to databases: calls, transactions, arguments."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from support.database_pools import add_two, count, pool_of, threads_of

from broker.defer import CancelledError, Deferred, inlineCallbacks, succeed
from broker.reactor import Reactor
from broker.reactor.adbapi import ConnectionLost, ConnectionPool

Run = Callable[[], None]


def test_with_reactor_run(reactor: Reactor, run: Run, file: str) -> None:
    """Calls made before the reactor runs wait for it; all results arrive; stop ends the threads."""
    pool = ConnectionPool("sqlite3", file, cp_reactor=reactor, cp_name="with-run")
    here = threading.get_ident()
    seen: list[Any] = []

    @inlineCallbacks
    def program() -> Any:
        seen.append((yield pool.runOperation("INSERT INTO people VALUES (?, ?)", ("ann", 40))))
        seen.append((yield pool.runInteraction(add_two, "cid", second="dan")))
        seen.append((yield pool.runQuery("SELECT name FROM people ORDER BY name")))
        seen.append((yield pool.runWithConnection(count)))
        seen.append(threading.get_ident() == here)
        reactor.stop()

    program()
    assert not pool.running
    run()
    assert seen == [None, 1, [("ann",), ("cid",), ("dan",)], 3, True]
    assert not pool.running
    assert pool.connections == {}
    assert threads_of(pool) == []


async def test_in_a_running_loop(each_loop: Any, file: str) -> None:
    """In a running loop a pool works at once, and its Deferreds can be awaited."""
    async with pool_of("sqlite3", file, cp_name="guest") as pool:
        assert pool.running
        assert await pool.runInteraction(add_two, "ann") == 1
        assert await pool.runQuery("SELECT * FROM people WHERE age > ?", (25,)) == [("bob", 30)]
        assert await pool.runWithConnection(count) == 2


async def test_many(database: Any) -> None:
    """A thousand interactions at once run in as many threads as cp_max says, and lose nothing."""
    async with pool_of("fake_database", cp_name="many", cp_max=5) as pool:
        await asyncio.gather(*(pool.runOperation(str(number)) for number in range(1000)))
        assert sorted(map(int, database.statements)) == list(range(1000))
    assert 1 <= len(database.opened) <= 5


async def test_rollback(file: str) -> None:
    """What a failing call did is undone, and its Deferred fails with the error of the call."""
    async with pool_of("sqlite3", file, cp_name="rollback") as pool:
        with pytest.raises(sqlite3.IntegrityError):
            await pool.runInteraction(add_two, "ann", "ann")
        assert await pool.runWithConnection(count) == 0

        def fail(connection: Any) -> None:
            connection.execute("INSERT INTO people VALUES ('ann', 1)")
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await pool.runWithConnection(fail)
        assert await pool.runWithConnection(count) == 0


async def test_the_cursor_is_closed(database: Any) -> None:
    """The cursor of an interaction is closed before the commit, and before the rollback."""
    async with pool_of("fake_database", cp_name="cursor", cp_max=1) as pool:
        await pool.runOperation("statement")
        with pytest.raises(ZeroDivisionError):
            await pool.runInteraction(lambda transaction: 1 / 0)
    assert database.opened[0].events == [
        "statement",
        "cursor closed",
        "commit",
        "cursor closed",
        "rollback",
    ]


async def test_a_rollback_that_fails(
    database: Any, database_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The error of the call is what the caller gets; the next call has another connection."""
    async with pool_of("fake_database", cp_name="failing", cp_max=1) as pool:
        await pool.runQuery("one")

        def fail(transaction: Any) -> None:
            database.cut()
            raise KeyError("the cause")

        for run in (pool.runInteraction, pool.runWithConnection):
            with pytest.raises(KeyError, match="the cause") as caught:
                await run(fail)
            assert not isinstance(caught.value, ConnectionLost)
            assert await pool.runQuery("two") == [(1,)]
    assert [record.message for record in caplog.records] == ["a rollback failed"] * 2
    assert len(database.opened) == len(database.closed) == 3


async def generating(transaction: Any) -> AsyncIterator[int]:
    """Return an asynchronous generator."""
    yield 1


def in_steps(transaction: Any) -> Iterator[int]:
    """Return a generator."""
    transaction.execute("INSERT INTO people VALUES ('ann', 1)")
    yield 1


async def in_the_loop(transaction: Any) -> None:
    """Return a coroutine."""
    transaction.execute("INSERT INTO people VALUES ('ann', 1)")


def in_a_deferred(transaction: Any) -> Deferred[None]:
    """Return a Deferred."""
    transaction.execute("INSERT INTO people VALUES ('ann', 1)")
    return succeed(None)


@pytest.mark.parametrize("function", [generating, in_steps, in_the_loop, in_a_deferred])
async def test_functions_that_are_not_plain(file: str, function: Any) -> None:
    """What would use the connection in the loop's thread is refused, and rolled back."""
    async with pool_of("sqlite3", file, cp_name="plain") as pool:
        for run in (pool.runInteraction, pool.runWithConnection):
            with pytest.raises(TypeError, match="pass a plain function"):
                await run(function)
        assert await pool.runWithConnection(count) == 0


async def test_cancelling(file: str) -> None:
    """A call that is cancelled while it waits is not made; one that runs goes on to its end."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(transaction: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        transaction.execute("INSERT INTO people VALUES ('slow', 1)")

    async with pool_of("sqlite3", file, cp_name="cancel", cp_max=1) as pool:
        running = pool.runInteraction(slow)
        await asyncio.to_thread(begun.wait, 10)
        waiting = pool.runOperation("INSERT INTO people VALUES ('waiting', 1)")
        for deferred in (waiting, running):
            deferred.cancel()
            with pytest.raises(CancelledError):
                await deferred
        go_on.set()
        assert await pool.runQuery("SELECT name FROM people") == [("slow",)]


async def test_arguments(database: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What is not the pool's own goes to connect; with cp_noisy no password is in the log."""
    caplog.set_level(logging.INFO)
    async with pool_of(
        "fake_database", "town", password="wonderland", cp_name="noisy", cp_noisy=True, cp_min=9
    ) as pool:
        await pool.runQuery("one")
        assert (pool.min, pool.max) == (5, 5)
        assert (pool.connargs, pool.connkw) == (("town",), {"password": "wonderland"})
    assert database.arguments == [(("town",), {"password": "wonderland"})]
    assert [record.message for record in caplog.records] == [
        "opening a connection to the database by fake_database",
        "closing a connection to the database by fake_database",
    ]


def test_wrong_arguments(reactor: Reactor, database: Any) -> None:
    """An argument of the pool that does not exist, and a module that does not, are refused."""
    with pytest.raises(TypeError, match="cp_maximum is not an argument"):
        ConnectionPool("fake_database", cp_maximum=3, cp_reactor=reactor)
    with pytest.raises(ModuleNotFoundError):
        ConnectionPool("no_such_database", cp_reactor=reactor)


def test_modules_that_do_not_fit(
    reactor: Reactor, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A module of another version, and one that threads may not share, are logged."""
    database.apilevel, database.threadsafety = "1.0", 0
    ConnectionPool("fake_database", cp_reactor=reactor)
    assert [record.message for record in caplog.records] == [
        "fake_database is not a module of DB-API 2.0",
        "fake_database may not be used by several threads",
    ]
