"""Pools of database connections for tests: one that is closed at the end, and its statements."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from broker.reactor import Reactor
from broker.reactor.adbapi import ConnectionPool

__all__ = ["add_two", "count", "pool_of", "threads_of"]


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
