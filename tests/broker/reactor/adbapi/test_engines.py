"""A pool on an SQLAlchemy Engine, and pools on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from support.postgres import Postgres

from broker.reactor import Reactor
from broker.reactor.adbapi import ConnectionLost, ConnectionPool

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


async def test_an_engine(tmp_path: Path) -> None:
    """With an Engine, functions get its Connection in a transaction; texts and clauses both run."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/people.sqlite")
    pool = ConnectionPool(engine, cp_reactor=Reactor(), cp_max=2)
    table = sqlalchemy.Table("people", sqlalchemy.MetaData(), sqlalchemy.Column("name"))
    await pool.runOperation("CREATE TABLE people (name TEXT)")
    await pool.runOperation("INSERT INTO people VALUES (?)", ("ann",))
    await pool.runOperation(table.insert(), [{"name": "bob"}, {"name": "cid"}])

    def add_and_fail(connection: sqlalchemy.Connection) -> None:
        connection.execute(table.insert(), {"name": "dan"})
        raise KeyError("dan")

    for run in (pool.runInteraction, pool.runWithConnection):
        with pytest.raises(KeyError):
            await run(add_and_fail)
    with pytest.raises(TypeError, match="pass a plain function"):
        await pool.runInteraction(lambda connection: (row for row in [1]))
    assert await pool.runQuery(sqlalchemy.select(table)) == [("ann",), ("bob",), ("cid",)]
    assert await pool.runQuery("SELECT name FROM people WHERE name > ?", ("b",)) == [
        ("bob",),
        ("cid",),
    ]
    await pool.aclose()
    engine.dispose()


def test_what_is_no_engine(reactor: Reactor, tmp_path: Path) -> None:
    """An engine for asyncio, other objects, and arguments that are the engine's own are refused."""
    url = f"sqlite:///{tmp_path}/people.sqlite"
    with pytest.raises(TypeError, match="is used without a ConnectionPool"):
        ConnectionPool(create_async_engine(url.replace(":", "+aiosqlite:", 1)), cp_reactor=reactor)
    with pytest.raises(TypeError, match="or an SQLAlchemy Engine, not a int"):
        ConnectionPool(5, cp_reactor=reactor)
    with pytest.raises(TypeError, match="leave out cp_reconnect, timeout"):
        ConnectionPool(
            sqlalchemy.create_engine(url), cp_reconnect=True, timeout=5, cp_reactor=reactor
        )


def open_pool(postgres: Postgres, **kw: Any) -> ConnectionPool:
    """Make a pool on the PostgreSQL."""
    return ConnectionPool("psycopg", postgres.url, cp_reactor=Reactor(), **kw)


async def test_postgresql(postgres: Postgres) -> None:
    """Statements, parameters and transactions of PostgreSQL."""
    pool = open_pool(postgres)
    await pool.runOperation("CREATE TEMPORARY TABLE gone (n INT)")
    await pool.runOperation("DROP TABLE IF EXISTS numbers")
    await pool.runOperation("CREATE TABLE numbers (n INT UNIQUE)")

    def add(transaction: Any, *numbers: int) -> Any:
        transaction.executemany("INSERT INTO numbers VALUES (%s)", [(n,) for n in numbers])
        return transaction.execute("SELECT count(*) FROM numbers").fetchone()[0]

    assert await pool.runInteraction(add, 1, 2, 3) == 3
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        await pool.runInteraction(add, 4, 4)
    assert not isinstance(caught.value, ConnectionLost)
    query = "SELECT n FROM numbers WHERE n > %s ORDER BY n"
    assert await pool.runQuery(query, (1,)) == [(2,), (3,)]
    await asyncio.gather(*(pool.runInteraction(add, n) for n in range(10, 1010)))
    assert await pool.runQuery("SELECT count(*) FROM numbers") == [(1003,)]
    await pool.runOperation("DROP TABLE numbers")
    await pool.aclose()


@pytest.mark.parametrize("reconnect", [False, True])
async def test_a_restart_of_the_server(postgres: Postgres, reconnect: bool) -> None:
    """After a restart one call fails, and the next works; while it is away each call fails."""
    pool = open_pool(postgres, cp_max=1, cp_reconnect=reconnect)
    before = await pool.runQuery("SELECT pg_backend_pid()")
    await asyncio.to_thread(postgres.stop)
    with pytest.raises(psycopg.OperationalError) as caught:
        await pool.runQuery("SELECT 1")
    assert isinstance(caught.value, ConnectionLost) == reconnect
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            await pool.runQuery("SELECT 1")
    await asyncio.to_thread(postgres.start)
    assert await pool.runQuery("SELECT pg_backend_pid()") != before
    await pool.aclose()


async def test_connections_that_the_server_ends(postgres: Postgres) -> None:
    """Of many connections that the server has ended, one call notices, and has both errors."""
    pool = open_pool(postgres, cp_max=4, cp_reconnect=True)
    other = open_pool(postgres, cp_max=1)

    def pause(transaction: Any) -> None:
        transaction.execute("SELECT pg_sleep(0.05)")

    await asyncio.gather(*(pool.runInteraction(pause) for _ in range(4)))
    assert len(pool.connections) == 4
    await other.runOperation(CUT)
    with pytest.raises(psycopg.errors.AdminShutdown) as caught:
        await pool.runQuery("SELECT 1")
    assert isinstance(caught.value, ConnectionLost)
    assert caught.value.sqlstate == "57P01"
    await asyncio.gather(*(pool.runInteraction(pause) for _ in range(8)))
    await pool.aclose()
    await other.aclose()


async def test_a_transaction_that_is_cut(postgres: Postgres) -> None:
    """A transaction whose connection the server ends leaves nothing in the database."""
    pool = open_pool(postgres, cp_max=1, cp_reconnect=True)
    other = open_pool(postgres, cp_max=1)
    await pool.runOperation("CREATE TABLE kept (n INT)")

    def add(transaction: Any) -> None:
        transaction.execute("INSERT INTO kept VALUES (1)")
        with psycopg.connect(postgres.url) as connection:
            connection.execute(CUT)
        transaction.execute("INSERT INTO kept VALUES (2)")

    with pytest.raises(ConnectionLost):
        await pool.runInteraction(add)
    assert await pool.runQuery("SELECT * FROM kept") == []
    await pool.runOperation("DROP TABLE kept")
    await pool.aclose()
    await other.aclose()
