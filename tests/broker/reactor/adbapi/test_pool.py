"""A pool of connections to databases: calls, transactions, threads, the end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from broker.defer import CancelledError, Deferred, inlineCallbacks, succeed
from broker.reactor import Reactor
from broker.reactor import default as default_reactor
from broker.reactor.adbapi import ConnectionLost, ConnectionPool
from broker.reactor.threads import blockingCallFromThread, deferToThreadPool

Run = Callable[[], None]


@asynccontextmanager
async def pool_of(*args: Any, **kw: Any) -> AsyncIterator[ConnectionPool]:
    """A pool in the running loop, closed at the end."""
    pool = ConnectionPool(*args, **{"cp_reactor": Reactor(), **kw})
    try:
        yield pool
    finally:
        await pool.aclose()
        assert threads_of(pool) == []


def threads_of(pool: ConnectionPool) -> list[threading.Thread]:
    """The threads of a pool with a name."""
    assert pool.name
    return [thread for thread in threading.enumerate() if thread.name.startswith(pool.name)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A SQLite database with a table of people."""
    with closing(sqlite3.connect(tmp_path / "people.sqlite")) as connection:
        connection.execute("CREATE TABLE people (name TEXT PRIMARY KEY, age INT)")
    return str(tmp_path / "people.sqlite")


def add_two(transaction: Any, first: str, second: str = "bob") -> int:
    """Insert two people."""
    transaction.execute("INSERT INTO people VALUES (?, 20)", (first,))
    transaction.execute("INSERT INTO people VALUES (?, 30)", (second,))
    return int(transaction.rowcount)


def count(connection: Any) -> int:
    """Count the people."""
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM people")
    return int(cursor.fetchone()[0])


# Calls.


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


async def test_many(database: Any) -> None:
    """A thousand interactions at once run in as many threads as cp_max says, and lose nothing."""
    async with pool_of("fake_database", cp_name="many", cp_max=5) as pool:
        await asyncio.gather(*(pool.runOperation(str(number)) for number in range(1000)))
        assert sorted(map(int, database.statements)) == list(range(1000))
    assert 1 <= len(database.opened) <= 5


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


# Transactions.


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


# Lost connections.


async def test_reconnect(
    database: Any, database_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With cp_reconnect a call on a lost connection fails with both errors; the next one works."""
    async with pool_of("fake_database", cp_name="lost", cp_max=1, cp_reconnect=True) as pool:
        await pool.runQuery("one")
        database.cut()
        with pytest.raises(ConnectionLost) as caught:
            await pool.runQuery("two")
        assert isinstance(caught.value, database_error)
        assert (str(caught.value), caught.value.code) == ("the connection was cut", 7)
        assert type(caught.value.__cause__) is database_error
        assert await pool.runQuery("three") == [(1,)]
        # An error in a connection that works is only that.
        with pytest.raises(KeyError) as other:
            await pool.runInteraction(lambda transaction: {}["nothing"])
        assert not isinstance(other.value, ConnectionLost)
    assert [record.message for record in caplog.records] == ["a connection to the database is lost"]
    assert "three" in database.statements and "select 1" in database.statements
    assert len(database.opened) == len(database.closed) == 2


async def test_one_loss_is_found_once(database: Any) -> None:
    """After a loss the connections of the other threads are tested before they are used."""
    meeting = threading.Barrier(3)

    def meet(transaction: Any) -> None:
        meeting.wait(10)
        transaction.execute("statement")

    async with pool_of(
        "fake_database", cp_name="once", cp_max=3, cp_reconnect=True, cp_good_sql="good"
    ) as pool:
        for _ in range(2):
            await asyncio.gather(*(pool.runInteraction(meet) for _ in range(3)))
        assert "good" not in database.statements
        database.cut()
        with pytest.raises(ConnectionLost):
            await pool.runQuery("lost")
        for _ in range(2):
            await asyncio.gather(*(pool.runInteraction(meet) for _ in range(3)))
        # Two tests of connections that were cut, none of those that were opened afterwards.
        assert database.statements.count("good") == 2
    assert len(database.opened) == len(database.closed) == 6


async def test_a_rollback_of_the_program(database: Any, database_error: Any) -> None:
    """A function may roll back, is told of a loss, and may open another connection."""

    def try_twice(connection: Any) -> Any:
        try:
            connection.rollback()
        except ConnectionLost as error:
            assert isinstance(error.__cause__, database_error)
            with pytest.raises(ConnectionLost, match="reconnect"):
                connection.cursor()
            connection.reconnect()
        connection.close()  # has no effect
        return connection.cursor().fetchall()

    async with pool_of("fake_database", cp_name="own", cp_max=1, cp_reconnect=True) as pool:
        await pool.runQuery("one")
        database.cut()
        assert await pool.runWithConnection(try_twice) == [(1,)]
    assert len(database.opened) == len(database.closed) == 2


async def test_a_copied_recipe(database: Any, database_error: Any) -> None:
    """Pools that try again, as programs copy them from each other, work."""

    class Stubborn(ConnectionPool):
        def _runInteraction(self, interaction: Any, *args: Any, **kw: Any) -> Any:
            try:
                return super()._runInteraction(interaction, *args, **kw)
            except database_error:
                connection = self.connections.get(self.threadID())
                self.disconnect(connection)
                return super()._runInteraction(interaction, *args, **kw)

    pool = Stubborn("fake_database", cp_reactor=Reactor(), cp_max=1)
    await pool.runQuery("one")
    database.cut()
    assert await pool.runQuery("two") == [(1,)]
    with pytest.raises(RuntimeError, match="not the connection of this thread"):
        pool.disconnect(database.opened[-1])
    await pool.aclose()


async def test_a_connection_that_fails_to_open(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of connect and of cp_openfun is that of the call; nothing is left open."""
    errors = [OSError("no server"), None]
    seen: list[Any] = []

    def connect() -> Any:
        if (error := errors.pop(0)) is not None:
            raise error
        return type(database).connect(database)

    def prepare(connection: Any) -> None:
        seen.append(connection)
        if len(seen) == 1:
            errors.append(None)
            raise ValueError("not prepared")

    monkeypatch.setattr(database, "connect", connect)
    async with pool_of("fake_database", cp_name="open", cp_openfun=prepare) as pool:
        with pytest.raises(OSError, match="no server"):
            await pool.runQuery("one")
        with pytest.raises(ValueError, match="not prepared"):
            await pool.runQuery("two")
        assert database.closed == database.opened == seen
        assert await pool.runQuery("three") == [(1,)]
    assert database.closed == database.opened == seen


# Cancelling.


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


# The end.


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


# Arguments.


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
    with pytest.raises(TypeError, match="cp_maximum is no argument"):
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
