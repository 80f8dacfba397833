"""The engine on PostgreSQL: tables for the messages, and NOTIFY to wake the nodes.

Theory of operation. A message gets its number while its transaction has locked the one row of the
state. So transactions end in the order of the numbers, and a node that has read up to a number
never finds a smaller one later. A notification has no content: a node reads the table from where it
was, also once a second without one. So a lost connection loses nothing that the table still has.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

from psycopg import AsyncConnection, OperationalError

from broker.errors import ConfigError
from broker.history import History, Position
from broker.topics.engine import Entry, Lease, Outgoing, Page
from broker.topics.engines.life import ConnectedEngine
from broker.topics.engines.postgres_directory import PostgresDirectory
from broker.topics.engines.postgres_tables import Connection, Tables
from broker.topics.names import overlap

__all__ = ["PostgresEngine"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LOOK_EVERY = 1.0
_AT_ONCE = 1000
_TRIM_EVERY = 100

_TABLES = """
CREATE TABLE IF NOT EXISTS {state} (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text NOT NULL, last bigint NOT NULL, gone bigint NOT NULL);
CREATE TABLE IF NOT EXISTS {messages} (
    number bigint PRIMARY KEY, id text NOT NULL UNIQUE, topic text NOT NULL, by text,
    data bytea NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS {retained} (
    topic text PRIMARY KEY, number bigint NOT NULL, by text, data bytea NOT NULL);
CREATE TABLE IF NOT EXISTS {leases} (
    topic text NOT NULL, member text NOT NULL, count integer NOT NULL,
    ends timestamptz NOT NULL, PRIMARY KEY (topic, member));
"""


class PostgresEngine(ConnectedEngine):
    """Carries topics between nodes through a PostgreSQL database; needs the extra ``postgres``.

    All nodes with one name in one database share their topics. The tables are made where they are
    not there.

    Args:
        address: a URL or a connection string of libpq, such as ``"postgresql://user@host/name"``.
        name: the beginning of the names of the tables, and the channel.
        history: how much is kept, of all topics together; its ``size`` is not used.

    Raises:
        ConfigError: the name has other characters than ``a-z 0-9 _``, or more than 32.
    """

    def __init__(self, address: str, *, name: str = "broker", history: History | None = None):
        if not _NAME.fullmatch(name):
            raise ConfigError("the name of a PostgresEngine is 1 to 32 of a-z 0-9 _")
        super().__init__("PostgreSQL")
        self._address = address
        self._history = History(most=100_000) if history is None else history
        self._channel = name
        words = ("state", "messages", "retained", "leases")
        self._tables = Tables(name, _TABLES, words, channel=name)
        self._sql = self._tables.sql
        self._epoch = ""
        self._last = 0
        self._batches = 0
        self._reader: Connection | None = None
        self._work: Connection | None = None
        self._lock = asyncio.Lock()

    def directory(self) -> PostgresDirectory:
        """Return the directory for one node; it has a connection of its own."""
        return PostgresDirectory(self._address, self._channel)

    async def publish(self, messages: list[Outgoing]) -> list[Position | None]:
        """Publish messages in one transaction, without those whose ids are there."""
        async with self._working() as work, work.transaction():
            found = await work.execute(self._sql("SELECT epoch, last FROM {state} FOR UPDATE"))
            epoch, last = _row(await found.fetchone())
            found = await work.execute(
                self._sql("SELECT id, number FROM {messages} WHERE id = ANY(%s)"),
                [[one.id for one in messages]],
            )
            numbers: dict[str, int] = dict(await found.fetchall())
            rows = []
            for one in messages:
                if one.id not in numbers:
                    last += 1
                    numbers[one.id] = last
                    rows.append((last, one.id, one.topic, _safe(one.by), one.data))
            new = {row[0] for row in rows}
            async with work.cursor() as cursor:
                await cursor.executemany(
                    self._sql(
                        "INSERT INTO {messages} (number, id, topic, by, data)"
                        " VALUES (%s, %s, %s, %s, %s)"
                    ),
                    rows,
                )
            for one in messages:
                if one.keep and numbers[one.id] in new:
                    await self._keep(work, one, numbers[one.id])
            await work.execute(self._sql("UPDATE {state} SET last = %s"), [last])
            self._batches += 1
            if self._batches % _TRIM_EVERY == 0 or self._history.most < last <= 2 * _AT_ONCE:
                await self._trim(work, last)
            await work.execute(self._sql("NOTIFY {channel}"))
        return [Position(epoch, numbers[one.id]) for one in messages]

    async def replay(self, pattern: str, since: Position | None) -> Page | None:
        """Return the messages after a position, or all; None if a message of any topic is gone."""
        offset = 0 if since is None else since.offset
        async with self._working() as work:
            found = await work.execute(
                self._sql(
                    "SELECT s.epoch, s.last, s.gone, m.topic, m.data, m.by, m.number FROM {state} s"
                    " LEFT JOIN {messages} m ON m.number > %s AND m.topic ~ %s ORDER BY m.number"
                ),
                [offset, _regular(pattern)],
            )
            rows = await found.fetchall()
        epoch, last, gone = rows[0][:3]
        if since is not None and (since.epoch != epoch or not gone <= offset <= last):
            return None
        return Page(_entries(rows, epoch, 3), Position(epoch, last))

    async def retained(self, pattern: str) -> Page:
        """Return the retained values of the topics that a pattern matches."""
        async with self._working() as work:
            found = await work.execute(
                self._sql(
                    "SELECT s.epoch, s.last, r.topic, r.data, r.by, r.number FROM {state} s"
                    " LEFT JOIN {retained} r ON r.topic ~ %s ORDER BY r.number"
                ),
                [_regular(pattern)],
            )
            rows = await found.fetchall()
        epoch, last = rows[0][:2]
        return Page(_entries(rows, epoch, 2), Position(epoch, last))

    async def present(self, leases: list[Lease], seconds: float) -> None:
        """Note or renew leases."""
        rows = [(_safe(one.topic), _safe(one.member), one.count, seconds) for one in leases]
        async with self._working() as work, work.transaction(), work.cursor() as cursor:
            await cursor.execute(self._sql("DELETE FROM {leases} WHERE ends < now()"))
            await cursor.executemany(
                self._sql(
                    "INSERT INTO {leases} VALUES (%s, %s, %s, now() + %s * interval '1 second')"
                    " ON CONFLICT (topic, member) DO UPDATE"
                    " SET count = EXCLUDED.count, ends = EXCLUDED.ends"
                ),
                sorted(rows),
            )

    async def members(self, pattern: str) -> list[Lease]:
        """Return the leases that hold, and whose patterns overlap with a pattern."""
        async with self._working() as work:
            found = await work.execute(
                self._sql("SELECT topic, member, count FROM {leases} WHERE ends > now()")
            )
            rows = await found.fetchall()
        return [
            Lease(topic, _unsafe(member) or "", count)
            for topic, member, count in rows
            if overlap(pattern, topic)
        ]

    # The connections.

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[Connection]:
        """Give the connection that is not for reading, to one at a time."""
        await self.up.wait()
        async with self._lock:
            if self._work is None:
                raise ConnectionError("not connected to PostgreSQL")
            yield self._work

    async def connect(self) -> None:
        """Connect twice, and make the tables where they are not there."""
        self._reader = await AsyncConnection.connect(self._address, autocommit=True)
        self._work = await AsyncConnection.connect(self._address, autocommit=True)
        await self._make(self._reader)

    async def follow(self) -> None:
        """Read the messages until a connection ends."""
        reader, work = self._reader, self._work
        if reader is None or work is None:
            raise ConnectionError("not connected to PostgreSQL")
        await self._follow(reader, work)

    async def disconnect(self) -> None:
        """Close the connections."""
        opened = self._reader, self._work
        self._reader = self._work = None
        for connection in opened:
            if connection is not None:
                with contextlib.suppress(Exception):
                    await connection.close()

    async def _make(self, connection: Connection) -> None:
        """Make the tables where they are not there."""
        async with connection.transaction():
            await self._tables.make(connection)
            await connection.execute(
                self._sql(
                    "INSERT INTO {state} (epoch, last, gone) VALUES (%s, 0, 0)"
                    " ON CONFLICT DO NOTHING"
                ),
                [secrets.token_hex(8)],
            )

    async def _follow(self, reader: Connection, work: Connection) -> None:
        await reader.execute(self._sql("LISTEN {channel}"))
        while True:
            while await self._read(reader):
                pass
            self.up.set()
            async for _ in reader.notifies(timeout=_LOOK_EVERY, stop_after=1):
                pass
            if work.broken or work.closed:
                raise OperationalError("a connection to PostgreSQL has ended")

    async def _read(self, reader: Connection) -> bool:
        """Deliver what is new; return whether there may be more."""
        found = await reader.execute(
            self._sql(
                "SELECT s.epoch, s.last, s.gone, m.topic, m.data, m.by, m.number FROM {state} s"
                " LEFT JOIN {messages} m ON m.number > %s ORDER BY m.number LIMIT %s"
            ),
            [self._last, _AT_ONCE],
        )
        rows = await found.fetchall()
        if not rows:
            raise OperationalError("the state of the topics is gone")
        epoch, last, gone = rows[0][:3]
        if epoch != self._epoch or last < self._last:
            is_new, self._epoch, self._last = self._epoch == "", epoch, last
            if not is_new:
                self.gap()
            return False
        if gone > self._last:
            self._last = gone
            self.gap()
            return True
        for entry in _entries(rows, epoch, 3):
            if entry.position is not None:
                self._last = entry.position.offset
            self.deliver(entry)
        return len(rows) == _AT_ONCE

    # Publishing.

    async def _keep(self, work: Connection, message: Outgoing, number: int) -> None:
        if message.is_removal:
            await work.execute(
                self._sql("DELETE FROM {retained} WHERE topic = %s"), [message.topic]
            )
            return
        await work.execute(
            self._sql(
                "INSERT INTO {retained} VALUES (%s, %s, %s, %s) ON CONFLICT (topic) DO UPDATE"
                " SET number = EXCLUDED.number, by = EXCLUDED.by, data = EXCLUDED.data"
            ),
            [message.topic, number, _safe(message.by), message.data],
        )

    async def _trim(self, work: Connection, last: int) -> None:
        """Delete the messages that are beyond the history."""
        seconds = self._history.seconds
        found = await work.execute(
            self._sql(
                "SELECT max(number) FROM {messages} WHERE number <= %s"
                " OR at < now() - %s * interval '1 second'"
            ),
            [last - self._history.most, 1e9 if seconds is None else seconds],
        )
        (gone,) = _row(await found.fetchone())
        if gone is not None:
            await work.execute(self._sql("DELETE FROM {messages} WHERE number <= %s"), [gone])
            await work.execute(self._sql("UPDATE {state} SET gone = %s"), [gone])


def _row(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    if row is None:
        raise OperationalError("the state of the topics is gone")
    return row


def _entries(rows: list[tuple[Any, ...]], epoch: str, first: int) -> list[Entry]:
    """Return the entries of rows whose columns from ``first`` on are those of a message."""
    found = (row[first : first + 4] for row in rows if row[first] is not None)
    return [
        Entry(topic, bytes(data), _unsafe(by), Position(epoch, number))
        for topic, data, by, number in found
    ]


def _regular(pattern: str) -> str:
    """Return the regular expression of a pattern."""
    tokens = {"*": "[^.]+", ">": ".+"}
    return "^" + r"\.".join(tokens.get(part, part) for part in pattern.split(".")) + "$"


# PostgreSQL has no NUL in its texts, and no lone surrogates.
def _safe(text: str | None) -> str | None:
    if text is None:
        return None
    return text.encode("utf-8", "surrogatepass").decode("latin-1").replace("\0", "\u0100")


def _unsafe(text: str | None) -> str | None:
    if text is None:
        return None
    return text.replace("\u0100", "\0").encode("latin-1").decode("utf-8", "surrogatepass")
