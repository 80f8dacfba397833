"""Databases for the tests of pools: a module that fails on demand, and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.postgres import Postgres, running_postgres


class DatabaseError(Exception):
    """What the module raises."""

    def __init__(self, text: str, *, code: int) -> None:
        super().__init__(text)
        self.code = code


class FakeDatabase:
    """A module of DB-API 2 whose connections can be cut; each stays in its thread.

    Attributes:
        opened, closed: the connections, in order.
        arguments: those of `connect`.
        statements: what was executed.
    """

    apilevel = "2.0"
    threadsafety = 1

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.closed: list[FakeConnection] = []
        self.arguments: list[Any] = []
        self.statements: list[str] = []

    def connect(self, *args: Any, **kw: Any) -> FakeConnection:
        """Open a connection."""
        self.arguments.append((args, kw))
        self.opened.append(FakeConnection(self))
        return self.opened[-1]

    def cut(self) -> None:
        """Cut all connections."""
        for connection in self.opened:
            connection.is_cut = True


class FakeConnection:
    """A connection, which only its own thread may use."""

    def __init__(self, database: FakeDatabase) -> None:
        self.database = database
        self.thread = threading.get_ident()
        self.is_cut = False
        self.events: list[str] = []

    def note(self, event: str) -> None:
        """Note a use."""
        assert threading.get_ident() == self.thread
        self.events.append(event)
        if self.is_cut:
            raise DatabaseError("the connection was cut", code=7)

    def cursor(self) -> FakeCursor:
        """Open a cursor, which fails later if the connection is cut."""
        return FakeCursor(self)

    def commit(self) -> None:
        """Commit."""
        self.note("commit")

    def rollback(self) -> None:
        """Roll back."""
        self.note("rollback")

    def close(self) -> None:
        """Close."""
        assert threading.get_ident() == self.thread
        self.database.closed.append(self)


class FakeCursor:
    """A cursor."""

    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection

    def execute(self, sql: str) -> None:
        """Execute."""
        self._connection.database.statements.append(sql)
        self._connection.note(sql)

    def fetchall(self) -> list[tuple[int]]:
        """Return a row."""
        return [(1,)]

    def close(self) -> None:
        """Close."""
        self._connection.events.append("cursor closed")


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """The module `fake_database`."""
    made = FakeDatabase()
    monkeypatch.setitem(sys.modules, "fake_database", made)  # type: ignore[arg-type]
    return made


@pytest.fixture
def database_error() -> type[DatabaseError]:
    """The error of `fake_database`."""
    return DatabaseError


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A SQLite database with a table of people."""
    with closing(sqlite3.connect(tmp_path / "people.sqlite")) as connection:
        connection.execute("CREATE TABLE people (name TEXT PRIMARY KEY, age INT)")
    return str(tmp_path / "people.sqlite")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests: it takes two seconds to start."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """The PostgreSQL, running."""
    postgres_server.start()
    return postgres_server
