"""The object behind the contract of inspection: what operators see of one server, and do to it."""

from __future__ import annotations

import asyncio
import heapq
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from broker.connection.broker import Broker
from broker.errors import ConfigError, Error, ServerBusy
from broker.inspection.census import (
    oldest_calls,
    streams_of,
    subscriptions_of,
    types_of,
)
from broker.inspection.contract import ORDERS, ConnectionSnapshot, Health, ServerSnapshot, Tapped
from broker.inspection.health import Checks, health_of, state_of_server
from broker.inspection.manhole import Manhole
from broker.inspection.notes import note
from broker.inspection.sampler import Rates, Sampled, Sampler
from broker.inspection.tap import tapped
from broker.printable import printable
from broker.stopping import checked_drain, checked_notice

__all__ = [
    "LEAST",
    "MOST_SHOWN",
    "MOST_WATCHERS",
    "PING_AFTER",
    "Inspected",
    "Inspector",
    "check_drain",
    "check_shown",
]

MOST_WATCHERS = 16
"""Streams of ``watch`` and ``tap`` of one server at once."""

MOST_SHOWN = 10_000
"""The most connections of one answer."""

LEAST = 0.1
"""The least seconds between two items of ``watch``."""

PING_AFTER = 5.0
"""Seconds between two pings of a connection that is looked at."""

_IDLE = Rates(0.0, 0.0, 0.0)
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
_SLICE = 100


class Inspected(Sampled, Protocol):
    """What an inspector needs of a server."""

    @property
    def health(self) -> Checks:
        """The checks of the application."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens."""

    @property
    def is_closing(self) -> bool:
        """Whether it accepts no more connections."""

    @property
    def counts(self) -> tuple[int, int]:
        """The connections that were accepted, and those that have ended."""

    def kick(self, *, user: str | None, number: int | None, reason: str) -> int:
        """End connections."""

    def begin_closing(self, drain: float | None, after: float | None = None) -> None:
        """Begin to drain and close."""


class Inspector:
    """Shows one server.

    Args:
        server: the server.

    Attributes:
        shell: the prompt inside the process, for the socket of operators; None without.
    """

    def __init__(self, server: Inspected):
        self.shell: Manhole | None = None
        self._server = server
        self._sampler = Sampler(server)
        self._started = time.time()
        # Of the code that runs: another may be installed later.
        self._version = _version()
        self._watchers = 0

    @property
    def state(self) -> str:
        """The state of the server in words, after the last run of its checks."""
        server = self._server
        return state_of_server(server.is_closing, self._sampler, server.health.failed)

    @property
    def lag(self) -> float:
        """The seconds by which the event loop was late in the last second."""
        lags = self._sampler.lags
        return lags[-1] if lags else 0.0

    def stop(self) -> None:
        """Take no more samples: the server is closed."""
        self._sampler.stop()

    async def server(self, *, history: bool = False) -> ServerSnapshot:
        """Return the server."""
        return self.snapshot(history)

    async def connections(
        self, *, order: str = "number", most: int = 100
    ) -> list[ConnectionSnapshot]:
        """Return the first connections in an order."""
        check_shown(order, most)
        brokers = list(self._server.accepted)
        if order in ("number", "age"):
            # The oldest connection has the lowest number.
            chosen = brokers[:most]
        else:
            chosen = heapq.nlargest(most, brokers, key=_KEYS[order])
        shown = []
        for index, broker in enumerate(chosen, 1):
            if index % _SLICE == 0:
                await asyncio.sleep(0)
            if broker in self._server.accepted:
                shown.append(self._connection(broker))
        return shown

    async def connection(self, number: int) -> ConnectionSnapshot:
        """Return one connection, with the types of its objects; ping it now and then."""
        broker = self._broker(number)
        pings = broker.pings
        # The next look has the time of this ping. A client bounds the number of pings.
        if pings is not None and _is_due(pings.asked_at, broker):
            pings.keep_alive()
        return self._connection(broker, has_details=True)

    async def watch(self, every: float = 1.0) -> AsyncIterator[ServerSnapshot]:
        """Yield the server again and again."""
        if not every >= LEAST:
            raise Error(f"every is {LEAST:g} seconds at least")
        self._enter()
        try:
            while True:
                yield self.snapshot()
                await asyncio.sleep(every)
        finally:
            self._watchers -= 1

    async def tap(self, number: int) -> AsyncIterator[Tapped]:
        """Yield what happens on a connection."""
        broker = self._broker(number)
        self._enter()
        try:
            async for entry in tapped(broker):
                yield entry
        finally:
            self._watchers -= 1

    async def health(self) -> Health:
        """Return the state, after the checks of the application."""
        server = self._server
        return await health_of(server.is_closing, self._sampler, server.health)

    async def kick(
        self, *, user: str | None = None, number: int | None = None, reason: str = ""
    ) -> int:
        """End the connections of a user, or one connection."""
        if (user is None) == (number is None):
            raise Error("kick takes user= or number=")
        count = self._server.kick(user=user, number=number, reason=reason)
        note("kick", {"of": user if number is None else number, "count": count})
        return count

    async def drain(self, seconds: float | None = None, after: float | None = None) -> None:
        """Begin to close the server."""
        check_drain(seconds, after)
        note("drain", {"seconds": seconds, "after": after})
        self._server.begin_closing(seconds, after)

    async def manhole(self) -> Manhole:
        """Return the prompt inside the process."""
        if self.shell is None:
            raise Error("this server has no manhole: pb serve --admin ADDRESS --manhole")
        return self.shell

    def _enter(self) -> None:
        if self._watchers >= MOST_WATCHERS:
            raise ServerBusy(f"{MOST_WATCHERS} watchers")
        self._watchers += 1

    def _broker(self, number: int) -> Broker:
        for broker, accepted in self._server.accepted.items():
            if accepted.number == number:
                return broker
        raise Error(f"there is no open connection {number}")

    def snapshot(self, has_history: bool = False) -> ServerSnapshot:
        """Return the server as it is now; see :meth:`server`."""
        server, sampler = self._server, self._sampler
        accepted, closed = server.counts
        totals, lags = sampler.totals, sampler.lags
        return ServerSnapshot(
            addresses=list(server.addresses),
            pid=os.getpid(),
            version=self._version,
            started=self._started,
            uptime=time.time() - self._started,
            state=self.state,
            open=len(server.accepted),
            accepted=accepted,
            closed=closed,
            limits=dict(server.limits),
            slow=totals.slow,
            held=totals.held,
            running=totals.running,
            unsent=totals.unsent,
            calls=totals.calls,
            bytes_in=totals.bytes_in,
            bytes_out=totals.bytes_out,
            lag=self.lag,
            largest_lag=max(lags, default=0.0),
            memory=_memory(),
            history=list(sampler.history) if has_history else [],
        )

    def _connection(self, broker: Broker, *, has_details: bool = False) -> ConnectionSnapshot:
        accepted = self._server.accepted[broker]
        shown = broker.snapshot()
        session, now = shown.session, broker.now
        rates = self._sampler.rates.get(broker, _IDLE)
        details: dict[str, Any] = {}
        streams = streams_of(broker)
        subscriptions = subscriptions_of(broker)
        if has_details:
            exported, imported, cached_out, cached_in = types_of(broker)
            details = {
                "exported_types": exported,
                "imported_types": imported,
                "cached_out_types": cached_out,
                "cached_in_types": cached_in,
                "stream_list": streams,
                "subscription_list": subscriptions,
            }
        return ConnectionSnapshot(
            number=accepted.number,
            address=shown.address,
            user=None if shown.avatar_id is None else printable(str(shown.avatar_id), 100),
            mechanism=shown.mechanism,
            dialect=session.dialect or "",
            is_secure=shown.is_secure,
            age=accepted.age,
            state=shown.state.value,
            slow_for=None if shown.slow_since is None else now - shown.slow_since,
            idle=None if shown.last_heard is None else max(0.0, now - shown.last_heard),
            round_trip=shown.round_trip,
            calls_received=session.calls_received,
            calls_made=session.calls_made,
            bytes_in=session.bytes_received,
            bytes_out=session.bytes_sent,
            calls=rates.calls,
            rate_in=rates.bytes_in,
            rate_out=rates.bytes_out,
            running=len(session.running),
            open_calls=session.open_calls,
            exports=session.exports,
            imports=session.imports,
            caches_out=session.cacheables,
            caches_in=session.remote_caches,
            streams=len(streams),
            subscriptions=len(subscriptions),
            unsent=shown.unsent + session.queued_bytes,
            unsent_in_kernel=shown.unsent_in_kernel,
            unhandled=session.waiting_bytes,
            limits=session.limits,
            oldest_calls=oldest_calls(session.running, now),
            **details,
        )


def check_shown(order: str, most: int) -> None:
    """Check which connections are asked for.

    Raises:
        Error: the order is unknown, or ``most`` is not 1 to `MOST_SHOWN`.
    """
    if order not in ORDERS:
        raise Error(f"order is one of {', '.join(ORDERS)}")
    if not 0 < most <= MOST_SHOWN:
        raise Error(f"most is 1 to {MOST_SHOWN}")


def check_drain(seconds: float | None, after: float | None) -> None:
    """Check the times of a drain.

    Raises:
        Error: one is negative, not a number, or too long.
    """
    try:
        if seconds is not None:
            checked_drain(seconds)
        if after is not None:
            checked_notice(after, ())
    except ConfigError as exc:
        raise Error(str(exc)) from None


def _is_due(asked_at: float | None, broker: Broker) -> bool:
    """Return whether a connection may be pinged."""
    has_waited = asked_at is None or broker.now - asked_at >= PING_AFTER
    return has_waited and not broker.port.is_closing


def _unsent(broker: Broker) -> int:
    return 0 if broker.transport is None else broker.port.unsent


_KEYS: Mapping[str, Callable[[Broker], float]] = {
    "unsent": _unsent,
    "running": lambda broker: len(broker.session.incoming.running),
    "calls": lambda broker: broker.session.stats.calls_received,
    "bytes": lambda broker: broker.session.stats.bytes_received + broker.session.stats.bytes_sent,
    "references": lambda broker: (
        len(broker.session.translator.exports) + len(broker.session.translator.imports)
    ),
}


def _version() -> str:
    try:
        return version("perspective-broker")
    except PackageNotFoundError:
        return ""


def _memory() -> int | None:
    """Return the bytes of this process in memory; None where that is not known."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return None
