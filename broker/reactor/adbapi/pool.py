"""The ConnectionPool: connections to a database, one for each thread of a pool of threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

from broker.defer import Deferred, fail
from broker.printable import repr_of
from broker.reactor.adbapi.arguments import checked_engine, plain_result
from broker.reactor.adbapi.connection import (
    Connection,
    ConnectionLost,
    OfDriver,
    Transaction,
    as_lost,
    run_good_sql,
)
from broker.reactor.engine.installed import default
from broker.reactor.engine.loop_threads import LoopThreads
from broker.reactor.engine.thread_pool import ThreadPool, deferToThreadPool
from broker.traces import log_error

__all__ = ["ConnectionPool"]

logger = logging.getLogger("broker.reactor")

_CLOSED = "the pool of database connections is closed; start() opens it again"


class ConnectionPool:
    """Runs statements in a SQL database, in threads; returns Deferreds of the results (published).

    A Deferred can be awaited, and fires in the thread of the event loop. A program with its own
    asyncio loop uses the pool like one that calls ``reactor.run()``.

    Calls made before the reactor runs wait for it. Each thread opens a connection at its first
    call, and only that thread uses and closes it, as `sqlite3` wants it. A call waits, without a
    limit, until one of the `cp_max` threads is free. A Deferred that is cancelled before that makes
    no call; later, the call goes on to its end, and its result is dropped. Nothing interrupts a
    statement: give the database's module limits, such as psycopg's ``connect_timeout`` and
    ``options="-c statement_timeout=5000"``, or a dead server keeps its threads, and the end of the
    program, waiting.

    The pool ends with the reactor: at ``reactor.stop()``, or when ``asyncio.run`` ends its loop. It
    waits for the calls that were made, and the loop runs meanwhile. A pool that ended with
    ``asyncio.run`` starts again with the next loop.

    With an SQLAlchemy Engine as its first argument, the pool uses the engine's connections, and
    `runInteraction` and `runWithConnection` pass an SQLAlchemy Connection inside ``begin()``. Then
    the other arguments are `cp_min`, `cp_max`, `cp_name` and `cp_reactor` only. The engine does the
    rest (``pool_pre_ping=True`` finds lost connections). It is not disposed of.

    Args:
        dbapiName: the name of a module of DB-API 2, such as ``"sqlite3"`` or ``"psycopg"``; or an
            Engine.
        connargs, connkw: the arguments of ``connect`` of the module. The names below are not passed
            to it.
        cp_min: kept as an attribute; no thread is started in advance. Default 3.
        cp_max: how many calls run at once, and so how many connections there are. Default 5.
        cp_noisy: log at level INFO that a connection is opened or closed. Arguments, such as
            passwords, are not logged. Default false.
        cp_name: the prefix of the names of the threads.
        cp_openfun: called with each new connection.
        cp_reconnect: after a call that failed, test its connection by `cp_good_sql`. If it is lost,
            close it, and let the call fail with `ConnectionLost`. The connections of the other
            threads are tested before their next calls, and replaced if they are lost. Default
            false: a connection is closed if its rollback fails.
        cp_good_sql: a statement that succeeds in any connection that works. Default ``select 1``.
        cp_reactor: the reactor; default `broker.reactor`.

    Attributes:
        dbapi: the module.
        connections: by the id of the thread, the connection of the module.
        min, max, noisy, name, openfun, reconnect, good_sql: as the arguments.
        running: between `start` and the end.
        threadpool, connectionFactory, transactionFactory, threadID: parts that a subclass or a test
            may replace.

    Raises:
        TypeError: an argument begins with ``cp_`` and is not one of these, or does not go with an
            engine; or `dbapiName` is neither a name nor an engine.
        ImportError: the module is not installed.
    """

    CP_ARGS: ClassVar[list[str]] = [
        "min", "max", "name", "noisy", "openfun", "reconnect", "good_sql",
    ]  # fmt: skip

    noisy = False
    min = 3
    max = 5
    name: str | None = None
    openfun: Callable[[OfDriver], object] | None = None
    reconnect = False
    good_sql = "select 1"
    running = False
    connectionFactory: Callable[..., Connection] = Connection
    transactionFactory: Callable[..., Transaction] = Transaction
    shutdownID: object = None
    startID: object = None
    # For subclasses that do not call `__init__`.
    _engine: OfDriver = None
    _is_closed = False
    _has_ended = False

    def __init__(self, dbapiName: object, *connargs: object, **connkw: Any) -> None:
        self._reactor: Any = connkw.pop("cp_reactor", default)
        own = [name for name in connkw if name.startswith("cp_")]
        for name in own:
            if name[3:] not in self.CP_ARGS:
                raise TypeError(f"{name} is not an argument of a ConnectionPool")
            setattr(self, name[3:], connkw.pop(name))
        self.dbapiName = dbapiName
        if isinstance(dbapiName, str):
            self.dbapi = import_module(dbapiName)
            self._check_module()
        else:
            self._engine = checked_engine(dbapiName, {*own, *connkw, *map(repr_of, connargs)})
        self.connargs = connargs
        self.connkw = connkw
        self.min = min(self.min, self.max)
        self.max = max(self.min, self.max)
        self.connections: dict[int, object] = {}
        self._lost = object()  # another one after each lost connection
        self._tested: dict[int, object] = {}  # by thread, the `_lost` that it knows
        self._waiting: list[Deferred[Any]] = []  # calls made before the start
        self.threadID = threading.get_ident
        self.threadpool = ThreadPool(self.min, self.max, self.name, at_end=self._leave_thread)
        # None for Twisted's reactor: its shutdown event alone ends the pool.
        mainloop = getattr(self._reactor, "default", self._reactor)
        self._mainloop = mainloop if isinstance(mainloop, LoopThreads) else None
        self.startID = self._reactor.callWhenRunning(self._start)

    def _check_module(self) -> None:
        if getattr(self.dbapi, "apilevel", None) != "2.0":
            logger.warning("%s is not a module of DB-API 2.0", self.dbapiName)
        if getattr(self.dbapi, "threadsafety", 0) < 1:
            logger.warning("%s may not be used by several threads", self.dbapiName)

    # Start and end.

    def _start(self) -> None:
        self.startID = None
        self.start()

    def start(self) -> None:
        """Start to make calls; the reactor does so when it runs (published).

        A pool that was closed opens again.
        """
        if self.running:
            return
        self.threadpool.start()
        if self.shutdownID is None:
            self.shutdownID = self._reactor.addSystemEventTrigger(
                "during", "shutdown", self.finalClose
            )
        if self._mainloop is not None:
            self._mainloop.end_with_loop(self._end)
        self.running = True
        self._is_closed = self._has_ended = False
        self._waiting.clear()

    def close(self) -> None:
        """Wait for the calls that were made, and close all connections (published).

        It blocks its thread. In the thread of the event loop, use `aclose` rather than `close`: a
        call in the pool that waits for the loop, by ``blockingCallFromThread``, would wait forever.

        Later calls, and those that wait for the start, fail with RuntimeError.

        Raises:
            RuntimeError: the caller is a call in this pool.
        """
        self._remove_triggers()
        self.finalClose()

    async def aclose(self) -> None:
        """Do as `close`, while the running asyncio loop goes on."""
        self._is_closed = True
        self._remove_triggers()
        await asyncio.to_thread(self._end, True)
        self.finalClose()

    def finalClose(self) -> None:
        """Do as `close`; the reactor calls it at its shutdown (published)."""
        self.shutdownID = None
        self._end(True)
        self._is_closed = True
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            if not deferred.called:
                deferred.errback(RuntimeError(_CLOSED))

    def _remove_triggers(self) -> None:
        for trigger in (self.startID, self.shutdownID):
            if trigger is not None:
                with suppress(ValueError):  # the reactor has stopped before
                    self._reactor.removeSystemEventTrigger(trigger)
        self.startID = self.shutdownID = None

    def _end(self, wait: bool) -> None:
        """End the threads, each of which closes its connection; may be called in any thread."""
        if self._mainloop is not None:
            self._mainloop.forget_end(self._end)
        was_started = self.threadpool.started
        self.running, self._has_ended = False, True
        self.threadpool.end(wait)
        if wait and was_started:
            # Those of other threads, in which the program has called `connect`.
            while self.connections:
                self._close(self.connections.popitem()[1])

    def _leave_thread(self) -> None:
        connection = self.connections.pop(self.threadID(), None)
        if connection is not None:
            self._close(connection)

    # Calls.

    def runQuery(self, *args: object, **kw: object) -> Deferred[Any]:
        """Execute a statement; return a Deferred of all rows, as ``fetchall`` has them (published).

        Args:
            args, kw: the arguments of ``execute``: the statement, and its parameters.
        """
        return self.runInteraction(self._runQuery, *args, **kw)

    def runOperation(self, *args: object, **kw: object) -> Deferred[None]:
        """Execute a statement that has no rows; return a Deferred of None (published)."""
        return self.runInteraction(self._runOperation, *args, **kw)

    def runInteraction(
        self, interaction: Callable[..., object], *args: object, **kw: object
    ) -> Deferred[Any]:
        """Call ``interaction(transaction, …)`` in a thread; return a Deferred of its result.

        The statements of one call are one transaction: it is committed if the function returns, and
        rolled back if it raises. The exception of the function is the error of the Deferred, also
        if the rollback fails; then that is logged (published).

        Args:
            interaction: a plain function, which uses the `Transaction` in its own thread. The
                Deferred of one that returns a generator, a coroutine or a Deferred fails with
                TypeError, since it would use the connection in the thread of the event loop.
        """
        return self._call(self._runInteraction, interaction, *args, **kw)

    def runWithConnection(
        self, func: Callable[..., object], *args: object, **kw: object
    ) -> Deferred[Any]:
        """Do as `runInteraction`; the function gets the `Connection` (published)."""
        return self._call(self._runWithConnection, func, *args, **kw)

    def _call(self, work: Callable[..., object], /, *args: object, **kw: object) -> Deferred[Any]:
        if self._is_closed:
            return fail(RuntimeError(_CLOSED))
        made: list[Deferred[object]] = []

        def unless_cancelled() -> object:
            return None if made and made[0].called else work(*args, **kw)

        deferred = deferToThreadPool(self._reactor, self.threadpool, unless_cancelled)
        made.append(deferred)
        if self._has_ended and self.startID is None:
            # It has ended with a loop. Another one runs, or will.
            self._has_ended = False
            self.startID = self._reactor.callWhenRunning(self._start)
        if not self.running and self.startID is not None:
            self._waiting.append(deferred)
        return deferred

    # In a thread. Programs override these methods, to try again for instance.

    def _runWithConnection(
        self, func: Callable[..., object], *args: object, **kw: object
    ) -> object:
        if self._engine is not None:
            with self._engine.begin() as connection:
                return plain_result(func(connection, *args, **kw), func)
        return self._commit_or_roll_back(partial(_with_connection, func, args, kw))

    def _runInteraction(
        self, interaction: Callable[..., object], *args: object, **kw: object
    ) -> object:
        if self._engine is not None:
            return self._runWithConnection(interaction, *args, **kw)

        def work(connection: OfDriver) -> object:
            transaction = self.transactionFactory(self, connection)
            try:
                result = plain_result(interaction(transaction, *args, **kw), interaction)
            except BaseException:
                with suppress(Exception):  # the error of the interaction counts
                    transaction.close()
                raise
            transaction.close()
            return result

        return self._commit_or_roll_back(work)

    def _commit_or_roll_back(self, work: Callable[[Connection], object]) -> object:
        connection = self.connectionFactory(self)
        try:
            result = work(connection)
            connection.commit()
        except BaseException as error:
            try:
                connection.rollback()
            except ConnectionLost:
                lost = as_lost(error) if self.reconnect else None
                if lost is not None:
                    raise lost from error
            except Exception as exc:  # noqa: BLE001 - logged: the first error is what counts
                log_error(logger, "a rollback failed", exc)
            raise
        return result

    def _runQuery(self, trans: OfDriver, *args: object, **kw: object) -> object:
        return self._execute(trans, *args, **kw).fetchall()

    def _runOperation(self, trans: OfDriver, *args: object, **kw: object) -> None:
        self._execute(trans, *args, **kw)

    def _execute(self, trans: OfDriver, *args: object, **kw: object) -> OfDriver:
        if self._engine is None:
            trans.execute(*args, **kw)
            return trans
        is_text = args and isinstance(args[0], str)
        return (trans.exec_driver_sql if is_text else trans.execute)(*args, **kw)

    # Connections of threads.

    def connect(self) -> object:
        """Return the connection of this thread; open it at the first call (published).

        It blocks, so it is called in threads.
        """
        thread = self.threadID()
        connection = self.connections.get(thread)
        known, self._tested[thread] = self._tested.get(thread), self._lost
        if connection is not None and self.reconnect and known is not self._lost:
            connection = self._test(connection)
        if connection is None:
            self._say("opening a connection to the database by %s")
            connection = self.dbapi.connect(*self.connargs, **self.connkw)
            try:
                if self.openfun is not None:
                    self.openfun(connection)
            except BaseException:
                self._close(connection)
                raise
            self.connections[thread] = connection
        return connection

    def _test(self, connection: OfDriver) -> object:
        """Return a connection if it works; close it if it is lost, and return None."""
        try:
            run_good_sql(connection, self.good_sql)
        except Exception:  # noqa: BLE001 - replaced by a new connection, which will tell
            self._leave_thread()
            return None
        return connection

    def disconnect(self, conn: OfDriver) -> None:
        """Close the connection of this thread (published).

        Raises:
            RuntimeError: it is not the connection of this thread.
        """
        thread = self.threadID()
        if conn is not self.connections.get(thread):
            raise RuntimeError("this is not the connection of this thread")
        if conn is not None:
            self._lost = object()
            self._close(conn)
            del self.connections[thread]

    def _close(self, conn: OfDriver) -> None:
        self._say("closing a connection to the database by %s")
        try:
            conn.close()
        except Exception as exc:  # noqa: BLE001 - logged: nothing more can be done
            log_error(logger, "a connection to the database cannot be closed", exc)

    def _say(self, text: str) -> None:
        if self.noisy:
            logger.info(text, self.dbapiName)


def _with_connection(
    func: Callable[..., object],
    args: tuple[object, ...],
    kw: dict[str, object],
    connection: OfDriver,
) -> object:
    return plain_result(func(connection, *args, **kw), func)
