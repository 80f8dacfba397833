"""Connections that are lost, and those that cannot be opened."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from support.database_pools import pool_of

from broker.reactor import Reactor
from broker.reactor.adbapi import ConnectionLost, ConnectionPool


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
