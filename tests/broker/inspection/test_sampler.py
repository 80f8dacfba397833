"""The sampler: rates, and what a server did in the last seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import broker
from broker.inspection.sampler import Sampler


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


async def test_rates() -> None:
    """Rates are the differences of two samples by the seconds between them."""
    async with (
        broker.serve(Echo(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        sampler = Sampler(server)
        try:
            await connection.root.callRemote("echo", 1)
            await sampler.sample(1.0, 0.0)
            for _ in range(10):
                await connection.root.callRemote("echo", 1)
            await sampler.sample(2.0, 0.25)
            (rates,) = sampler.rates.values()
            assert rates.calls == 5
            assert rates.bytes_in > 0 and rates.bytes_out > 0
            assert sampler.totals.calls == 5
            last = sampler.history[-1]
            assert (last.connections, last.calls, last.lag) == (1, 5, 0.25)
            assert list(sampler.lags)[-2:] == [0.0, 0.25]
            assert sampler.busy_at is None
            server.stats.limits["max_calls"] += 1
            await sampler.sample(1.0, 0.0)
            assert sampler.busy_at is not None
        finally:
            sampler.stop()


async def test_it_runs() -> None:
    """It samples by itself, until it is stopped."""
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        broker.inspector(server)
        inspector: Any = server.inspector
        async with asyncio.timeout(30):
            while not inspector._sampler.history:
                await asyncio.sleep(0.05)
    assert server.inspector is None
