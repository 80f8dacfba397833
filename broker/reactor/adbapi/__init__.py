"""Published names of `twisted.enterprise.adbapi`: SQL databases, without blocking the event loop.

::

    from broker.reactor.adbapi import ConnectionPool

    pool = ConnectionPool("psycopg", "dbname=town", cp_reconnect=True)
    pool.runQuery("SELECT name FROM people WHERE age > %s", (18,)).addCallback(print)

`ConnectionPool` says what each call does.
"""

from __future__ import annotations

from broker.reactor.adbapi.connection import Connection, ConnectionLost, Transaction
from broker.reactor.adbapi.pool import ConnectionPool

__all__ = ["Connection", "ConnectionLost", "ConnectionPool", "Transaction"]
