"""Taps a connection: tells what happens on it, by names and sizes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from broker.connection.broker import Broker
from broker.connection.tracers import add_tracer, remove_tracer
from broker.core.tracer import Outcome
from broker.inspection.contract import Tapped
from broker.printable import printable

__all__ = ["MOST", "SECONDS", "tapped"]

MOST = 10_000
"""The most entries of a tap."""

SECONDS = 60.0
"""The most seconds of a tap."""

_QUEUED = 1000
_LONGEST_NAME = 100


async def tapped(broker: Broker, seconds: float = SECONDS) -> AsyncIterator[Tapped]:
    """Yield what happens on a connection, until it ends, or for a time, or so many entries.

    A reader that is too slow misses entries; the next one tells how many.
    """
    tap = _Tap(broker)
    add_tracer(broker.session, tap)
    ends = time.monotonic() + seconds
    try:
        for _ in range(MOST):
            left = ends - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    entry = await tap.entries.get()
            except TimeoutError:
                return
            if entry is None:
                return
            yield entry
    finally:
        remove_tracer(broker.session, tap)


class _Tap:
    """The tracer: puts an entry for each event into a queue."""

    def __init__(self, broker: Broker) -> None:
        self.entries: asyncio.Queue[Tapped | None] = asyncio.Queue(_QUEUED)
        self._began = time.monotonic()
        self._lost = 0

    def opened(self, dialect: str) -> None:
        """Do nothing."""

    def closed(self) -> None:
        """End the tap."""
        if self.entries.full():
            self.entries.get_nowait()
        self.entries.put_nowait(None)

    def call_started(
        self, name: str, is_incoming: bool, wants_answer: bool, target: type | None
    ) -> object:
        """Tell it."""
        name = printable(name, _LONGEST_NAME)
        self._put(is_incoming, "call" if wants_answer else "send", name)
        return (name, is_incoming, wants_answer)

    def call_ended(self, token: object, outcome: Outcome, error: object) -> None:
        """Tell it, in the direction of the answer."""
        if isinstance(token, tuple):
            name, is_incoming, wants_answer = token
            if wants_answer:
                self._put(not is_incoming, "answer", f"{name}: {outcome.value}")

    def received(self, size: int) -> None:
        """Tell it."""
        self._put(True, "bytes", "", size)

    def sent(self, size: int) -> None:
        """Tell it."""
        self._put(False, "bytes", "", size)

    def limit_hit(self, limit: str) -> None:
        """Tell it."""
        self._put(True, "limit", limit)

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        """Tell it."""
        self._put(True, "login", f"{mechanism}: {'accepted' if is_accepted else 'refused'}")

    def _put(self, is_incoming: bool, kind: str, name: str, size: int = 0) -> None:
        if self.entries.full():
            self._lost += 1
            return
        lost, self._lost = self._lost, 0
        passed = time.monotonic() - self._began
        self.entries.put_nowait(Tapped(passed, is_incoming, kind, name, size, lost))
