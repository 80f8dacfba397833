"""The connection and the cursor that a function gets in a thread of a pool."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from broker.traces import log_error

__all__ = ["Connection", "ConnectionLost", "Pool", "Transaction", "as_lost", "run_good_sql"]

logger = logging.getLogger("broker.reactor")


class ConnectionLost(Exception):
    """The connection to the database was lost; the next call opens another (published).

    Only a pool with `cp_reconnect` looks for lost connections. If a call fails and its connection
    is lost, the error has the class that the database raised, and is a ConnectionLost too: `except`
    and `trap` take either of the two. A transaction that was lost during its commit may be in the
    database, or not.
    """


OfDriver: TypeAlias = Any
"""An object of a module of DB-API 2.0, or of SQLAlchemy: a connection or a cursor."""


class Pool(Protocol):
    """What a Connection and a Transaction need of their pool."""

    reconnect: bool
    good_sql: str

    def connect(self) -> object:
        """Return this thread's connection."""

    def disconnect(self, conn: OfDriver) -> object:
        """Close this thread's connection."""


class Connection:
    """A connection to the database, in its thread (published).

    It has the attributes of a connection of the driver, except for the methods below.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool: Pool = pool
        self._connection: OfDriver = None
        self.reconnect()

    def close(self) -> None:
        """Do nothing: the pool closes its connections (published)."""

    def rollback(self) -> None:
        """Undo what was done since the last commit (published).

        If that fails, the connection is closed, and the next call in its thread opens another.

        Raises:
            ConnectionLost: the pool has `cp_reconnect`, and the rollback or `cp_good_sql` failed.
                The error of the database is logged, and is its cause.
        """
        if not self._pool.reconnect:
            try:
                self._living().rollback()
            except BaseException:
                self._drop()
                raise
            return
        try:
            connection = self._living()
            connection.rollback()
            run_good_sql(connection, self._pool.good_sql)
        except ConnectionLost:
            raise
        except Exception as error:
            log_error(logger, "a connection to the database is lost", error)
            self._drop()
            raise ConnectionLost("the connection to the database is lost") from error

    def reconnect(self) -> None:
        """Close the connection if there is one, and open another (published)."""
        self._drop()
        self._connection = self._pool.connect()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.disconnect(connection)

    def _living(self) -> OfDriver:
        if self._connection is None:
            raise ConnectionLost("the connection to the database is lost; reconnect() opens one")
        return self._connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._living(), name)


class Transaction:
    """A cursor, in the thread of its connection (published).

    It has the attributes of a cursor of the driver, except for the methods below. It ends with the
    function that got it.
    """

    _cursor: OfDriver = None

    def __init__(self, pool: Pool, connection: OfDriver) -> None:
        self._pool: Pool = pool
        self._connection = connection
        self.reopen()

    def close(self) -> None:
        """Close the cursor (published)."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()

    def reopen(self) -> None:
        """Close the cursor if there is one, and open another (published).

        With `cp_reconnect`, a connection that opens no cursor is replaced; its error is logged.
        """
        self.close()
        try:
            self._cursor = self._connection.cursor()
        except Exception as error:
            if not self._pool.reconnect:
                raise
            log_error(logger, "a connection to the database opens no cursor", error)
            self.reconnect()
            self._cursor = self._connection.cursor()

    def reconnect(self) -> None:
        """Open another connection; `reopen` then opens its cursor (published)."""
        self._connection.reconnect()
        self._cursor = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def run_good_sql(connection: OfDriver, good_sql: str) -> None:
    """Run a statement that succeeds in a connection that works, and commit."""
    cursor = connection.cursor()
    cursor.execute(good_sql)
    cursor.close()
    connection.commit()


def as_lost(error: BaseException) -> Exception | None:
    """Return an error like this one that is a ConnectionLost besides, or None if none can be."""
    if isinstance(error, ConnectionLost) or not isinstance(error, Exception):
        return None
    theirs: OfDriver = type(error)
    try:
        cls = _lost(theirs)
        lost = cls.__new__(cls, *error.args)
    except TypeError:  # a class with a constructor or a layout of its own
        return None
    lost.args = error.args
    lost.__dict__.update(error.__dict__)
    return lost


@lru_cache(100)
def _lost(cls: type[Exception]) -> type[Exception]:
    members = {"__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls.__name__, (ConnectionLost, cls), members)
