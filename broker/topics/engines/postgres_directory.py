"""The directory on PostgreSQL: a table of leases, and a table of names.

Theory of operation. Claims come one after another, under a lock of the cluster. A claim deletes the
leases that have ended, so that a renewal which comes at the same moment finds no row. The clock is
that of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from psycopg import AsyncConnection

from broker.topics.directory import Holder
from broker.topics.engines.postgres_tables import Connection, Tables

__all__ = ["PostgresDirectory"]

_SECONDS = 5.0

_TABLES = """
CREATE TABLE IF NOT EXISTS {nodes} (
    node text PRIMARY KEY, address text NOT NULL, ends timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS {names} (
    name text PRIMARY KEY, node text NOT NULL, number bigint NOT NULL);
CREATE SEQUENCE IF NOT EXISTS {numbers};
"""


class PostgresDirectory:
    """See `broker.topics.directory.Directory`.

    Args:
        address, name: as of `PostgresEngine`.
    """

    def __init__(self, address: str, name: str):
        self._address = address
        self._name = name
        self._tables = Tables(name, _TABLES, ("nodes", "names", "numbers"))
        self._sql = self._tables.sql
        self._node = ""
        self._own_address = ""
        self._seconds = 0.0
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def join(self, node: str, address: str, seconds: float) -> float:
        """Begin a lease."""
        await self.leave()
        async with self._working() as work, work.transaction():
            await self._lock_names(work)
            await work.execute(
                self._sql(
                    "INSERT INTO {nodes}"
                    " VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')"
                ),
                [node, address, seconds],
            )
            await work.execute(
                self._sql(
                    "DELETE FROM {names} AS one WHERE NOT EXISTS"
                    " (SELECT 1 FROM {nodes} AS its WHERE its.node = one.node)"
                )
            )
        self._node, self._own_address, self._seconds = node, address, seconds
        return seconds

    async def renew(self) -> bool:
        """Renew the lease; False if it has ended."""
        async with self._working() as work:
            done = await work.execute(
                self._sql(
                    "UPDATE {nodes} SET ends = clock_timestamp() + %s * interval '1 second'"
                    " WHERE node = %s AND ends > clock_timestamp()"
                ),
                [self._seconds, self._node],
            )
            return done.rowcount == 1

    async def claim(self, name: str) -> Holder:
        """Take a name that no node holds; return who holds it now."""
        async with self._working() as work, work.transaction():
            await self._lock_names(work)
            await work.execute(self._sql("DELETE FROM {nodes} WHERE ends <= clock_timestamp()"))
            found = await self._find(work, name)
            if found is not None:
                return found
            made = await work.execute(
                self._sql(
                    "INSERT INTO {names} VALUES (%s, %s, nextval(%s)) ON CONFLICT (name)"
                    " DO UPDATE SET node = EXCLUDED.node, number = EXCLUDED.number"
                    " RETURNING number"
                ),
                [name, self._node, f"{self._name}_numbers"],
            )
            row = await made.fetchone()
            return Holder(self._node, self._own_address, 0 if row is None else row[0])

    async def find(self, name: str) -> Holder | None:
        """Return who holds a name."""
        async with self._working() as work:
            return await self._find(work, name)

    async def release(self, name: str, number: int) -> None:
        """Give up a name."""
        async with self._working() as work:
            await work.execute(
                self._sql("DELETE FROM {names} WHERE name = %s AND number = %s"), [name, number]
            )

    async def leave(self) -> None:
        """End the lease."""
        node, self._node = self._node, ""
        if node:
            async with self._working() as work:
                await work.execute(self._sql("DELETE FROM {nodes} WHERE node = %s"), [node])

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _lock_names(self, work: Connection) -> None:
        """Let the transactions that change who holds a name come one after another."""
        await work.execute(
            "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"broker {self._name} names"]
        )

    async def _find(self, work: Connection, name: str) -> Holder | None:
        found = await work.execute(
            self._sql(
                "SELECT its.node, its.address, one.number FROM {names} AS one"
                " JOIN {nodes} AS its ON its.node = one.node"
                " WHERE one.name = %s AND its.ends > clock_timestamp()"
            ),
            [name],
        )
        row = await found.fetchone()
        return None if row is None else Holder(*row)

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[Connection]:
        """Give the connection to one at a time; one that has failed is not used again."""
        async with asyncio.timeout(_SECONDS), self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = await self._opened()
            try:
                yield self._connection
            except BaseException:
                connection, self._connection = self._connection, None
                await connection.close()
                raise

    async def _opened(self) -> Connection:
        connection = await AsyncConnection.connect(self._address, autocommit=True)
        try:
            async with connection.transaction():
                await self._tables.make(connection)
        except BaseException:
            await connection.close()
            raise
        return connection
