"""Pings of a connection: their times, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import broker
from broker.connection.pings import Pings
from broker.core.wire.messages import Ping


class Clock:
    """A clock that is set."""

    time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time


def test_times() -> None:
    """Each ping takes the time until its own answer; other answers are ignored."""
    clock, said = Clock(), []
    pings = Pings(clock.now, said.append)
    assert pings.round_trip is None
    first, second = pings.ask(), pings.ask()
    pings.keep_alive()
    assert said == [Ping(1), Ping(2), Ping(0)]
    clock.time = 1.5
    pings.answered(2)
    assert (second.result, first.called, pings.round_trip) == (1.5, False, 1.5)
    clock.time = 2.0
    pings.answered(0)
    assert pings.round_trip == 2.0
    for token in (2, 0, 99, -1):
        pings.answered(token)
    pings.end(broker.PBConnectionLost("gone"))
    failed: list[Any] = []
    first.addErrback(failed.append)
    assert failed[0].value.args == ("gone",)


async def test_a_connection() -> None:
    """Both ends can ping; the last time is in the snapshot."""
    async with (
        broker.serve(broker.Root(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        (far,) = server.connections
        for end in (connection, far):
            assert end.broker.snapshot().round_trip is None
            seconds = await end.ping()
            assert 0 < seconds < 30
            assert end.broker.snapshot().round_trip == seconds


async def test_a_cancelled_ping() -> None:
    """A ping that is not waited for any more does no harm."""
    async with (
        broker.serve(broker.Root(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        task = asyncio.create_task(connection.ping())
        await asyncio.sleep(0)
        task.cancel()
        assert await connection.ping() > 0


async def test_the_end() -> None:
    """A ping of a connection that has ended, or ends, fails."""
    async with broker.serve(broker.Root(), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        waiting = asyncio.create_task(connection.ping())
        await asyncio.sleep(0)
        connection.broker.port.abortConnection()
        with pytest.raises(broker.PBConnectionLost):
            await waiting
        with pytest.raises(broker.PBConnectionLost):
            await connection.ping()


async def test_a_dialect_without_pings() -> None:
    """PB's dialects have none."""
    policy = broker.STRICT.but(dialects=("pb",))
    async with (
        broker.serve(broker.Root(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with pytest.raises(RuntimeError, match="there are no pings in the dialect 'pb'"):
            await connection.ping()
