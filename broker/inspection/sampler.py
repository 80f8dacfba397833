"""Samples a server each second: rates, the delay of the event loop, and what has changed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from broker.connection.broker import Broker
from broker.connection.snapshot import State, state_of
from broker.inspection.contract import Sample
from broker.server_log import Accepted

__all__ = ["EVERY", "KEPT", "Rates", "Sampled", "Sampler", "Totals"]

EVERY = 1.0
"""Seconds from one sample to the next."""

KEPT = 600
"""How many samples are kept."""

_LOOKS = 4
_SLICE = 200
_BUSY = ("max_calls", "max_promised", "max_waiting", "max_buffered")


class Sampled(Protocol):
    """What a sampler needs of a server."""

    @property
    def accepted(self) -> Mapping[Broker, Accepted]:
        """The open connections."""

    @property
    def limits(self) -> Mapping[str, int]:
        """How often each limit has refused something."""


class Rates(Struct, frozen=True):
    """What a connection did in the last second: calls of the peer, and bytes, a second."""

    calls: float
    bytes_in: float
    bytes_out: float


class Totals(Struct):
    """Sums over all connections, at the last sample."""

    slow: int = 0
    held: int = 0
    running: int = 0
    unsent: int = 0
    calls: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0


class Sampler:
    """Samples one server until it is stopped.

    Attributes:
        history: the last samples, oldest first.
        totals: sums at the last sample.
        rates: of each connection that was open at the last two samples.
        lags: the delays of the loop in the last minute, in seconds.
        busy_at: when a limit last refused work, by ``time.monotonic``; None before.
        held_since: since when each connection with held calls has had them.
    """

    def __init__(self, server: Sampled):
        self._server = server
        self.history: deque[Sample] = deque(maxlen=KEPT)
        self.totals = Totals()
        self.rates: dict[Broker, Rates] = {}
        self.lags: deque[float] = deque(maxlen=int(60 / EVERY))
        self.busy_at: float | None = None
        self.held_since: dict[Broker, float] = {}
        self._before: dict[Broker, tuple[int, int, int]] = {}
        self._refused = self._count_refused()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Take no more samples."""
        self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            lag = 0.0
            for _ in range(_LOOKS):
                due = loop.time() + EVERY / _LOOKS
                await asyncio.sleep(EVERY / _LOOKS)
                lag = max(lag, loop.time() - due)
            now = loop.time()
            await self.sample(now - last, lag)
            last = now

    async def sample(self, seconds: float, lag: float) -> None:
        """Take a sample.

        Args:
            seconds: since the last one.
            lag: the most seconds by which the loop was late since then.
        """
        totals, rates, held = Totals(), {}, {}
        before: dict[Broker, tuple[int, int, int]] = {}
        now = time.monotonic()
        for index, broker in enumerate(list(self._server.accepted), 1):
            if index % _SLICE == 0:
                await asyncio.sleep(0)
            if broker.disconnected:
                continue
            stats = broker.session.stats
            counts = stats.calls_received, stats.bytes_received, stats.bytes_sent
            before[broker] = counts
            old = self._before.get(broker, (0, 0, 0))
            new = [(here - there) / seconds for here, there in zip(counts, old, strict=True)]
            rates[broker] = each = Rates(*new)
            totals.calls += each.calls
            totals.bytes_in += each.bytes_in
            totals.bytes_out += each.bytes_out
            state = state_of(broker)
            totals.slow += state is State.SLOW
            if state is State.HELD:
                totals.held += 1
                held[broker] = self.held_since.get(broker, now)
            totals.running += len(broker.session.incoming.running)
            totals.unsent += broker.port.unsent if broker.transport is not None else 0
        self._before, self.rates, self.totals, self.held_since = before, rates, totals, held
        self.lags.append(lag)
        refused = self._count_refused()
        if refused > self._refused:
            self.busy_at = now
        self._refused = refused
        self.history.append(
            Sample(
                time.time(),
                len(before),
                totals.calls,
                totals.bytes_in,
                totals.bytes_out,
                totals.unsent,
                lag,
            )
        )

    def _count_refused(self) -> int:
        limits = self._server.limits
        return sum(limits.get(name, 0) for name in _BUSY)
