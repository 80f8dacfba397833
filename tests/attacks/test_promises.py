"""Calls on promises that are made to cost: nobody else waits, and little memory is kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from vectors.msgpack_case import CHOICE, VERSION, call, frame, graph_call

import broker
from broker.connection.broker import Broker
from broker.core.policy import STRICT


class House(broker.Root):
    """Never answers some calls."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def remote_later(self) -> broker.Root:
        """Return this object when the gate opens."""
        await self.gate.wait()
        return self

    def remote_same(self) -> broker.Root:
        """Return this object."""
        return self

    def remote_echo(self, *values: Any) -> int:
        """Return how many there are."""
        return len(values)


def chain() -> bytes:
    """A thousand calls, each on the one before."""
    return b"".join(call(n, "same", target=[n - 1]) for n in range(2, 1002))


def many() -> bytes:
    """Thousands on one promise."""
    return b"".join(call(n, "same", target=[1]) for n in range(2, 5002))


def cancelled() -> bytes:
    """Thousands that are cancelled at once."""
    return b"".join(call(n, "same", target=[1]) + frame(11, n) for n in range(2, 3002))


def arguments() -> bytes:
    """A call with ten thousand promises among its arguments, and others behind it."""
    promises = [[b"promised", 1]] * 10_000
    return graph_call(2, "echo", *promises) + b"".join(call(n, "echo") for n in range(3, 900))


def steps() -> bytes:
    """Huge steps."""
    wide = "x" * 128
    return b"".join(
        call(n, "same", target=[1, step])
        for n, step in enumerate([wide, (1 << 63) - 1, 0, ""] * 500, start=2)
    )


@pytest.mark.parametrize("attack", [chain, many, cancelled, arguments, steps])
async def test_a_bystander(attack: Any) -> None:
    """While an attacker does this, another client is served, and the attacker's end is clean."""
    house = House()
    policy = STRICT.but(dialects=("msgpack/1",))
    async with (
        broker.serve(house, "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0], policy=policy) as bystander,
    ):
        host, port = server.addresses[0].removeprefix("pb://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(CHOICE + VERSION + call(1, "later") + attack())
        drain = asyncio.ensure_future(reader.read(1 << 24))
        began = time.process_time()
        for _ in range(50):
            assert await bystander.root.callRemote("echo", 1) == 1
        assert time.process_time() - began < 5
        (end,) = [each for each in server.connections if each is not None and _waits(each.broker)]
        waiting = end.broker.session.incoming.used_promises
        assert waiting is None or waiting._counted <= 64
        house.gate.set()
        for _ in range(50):
            assert await bystander.root.callRemote("echo", 1) == 1
        writer.close()
        await drain
        while len(server.connections) > 1:
            await asyncio.sleep(0.01)
        assert await bystander.root.callRemote("echo", 1) == 1


def _waits(end: Broker) -> bool:
    return bool(end.session.incoming.running)
