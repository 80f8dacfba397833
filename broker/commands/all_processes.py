"""One inspection of all processes of ``pb serve --processes``: asks each, and sums up.

Theory of operation. Each process has a socket for operators of its own. The process for operators
connects to each, again if a process was started again, and asks them when it is asked. Process K of
N numbers its connections K, K + N, K + 2N and so on, so the number of a connection tells its
process. A process that does not answer in time is left out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from broker.client import connect
from broker.connection.connection import Connection
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import Disconnected, Error, ServerBusy, ServerDraining
from broker.inspection.contract import (
    Administration,
    ConnectionSnapshot,
    Health,
    ProcessSnapshot,
    Sample,
    ServerSnapshot,
    Tapped,
)
from broker.inspection.inspector import LEAST, MOST_WATCHERS, check_drain, check_shown

__all__ = ["PATIENCE", "AllProcesses", "Member", "process_of"]

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that a process has for an answer."""

_AGAIN = 0.2
# A process that does not run, is about to end, or does not answer.
_AWAY = (Disconnected, ServerDraining, TimeoutError)
# The worse states come first.
_STATES = ("draining", "degraded", "overloaded", "serving")


def process_of(number: int, count: int) -> int:
    """Return the process of a connection, from 1, by its number."""
    return (number - 1) % count + 1


class Member:
    """One process.

    Args:
        number: from 1.
        address: its socket for operators.
    """

    def __init__(self, number: int, address: str):
        self.number = number
        self.address = address
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def inspection(self) -> Administration:
        """Return its inspection; connect if there is no connection.

        Raises:
            Disconnected: it does not run.
        """
        async with self._lock:
            if self._connection is None or self._connection.is_closed:
                policy = STRICT.but(limits=PUBLISHED.limits)
                self._connection = await connect(self.address, policy=policy, timeout=PATIENCE)
            found: Administration = self._connection.root.of(Administration)
            return found

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()


class AllProcesses:
    """The inspection of a server of several processes: an `Administration`.

    Args:
        members: its processes, in the order of their numbers.
        stop: called before a drain begins, so that no process is started again.
    """

    def __init__(self, members: Sequence[Member], stop: Callable[[], object]):
        self._members = members
        self._stop = stop
        self._watchers = 0
        self._drain: tuple[float | None, float | None] | None = None
        self._draining: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Disconnect from all processes."""
        if self._draining is not None:
            self._draining.cancel()
        await asyncio.gather(*(each.close() for each in self._members))

    async def server(self, *, history: bool = False) -> ServerSnapshot:
        """Return the sums of all processes, and each of them in short."""
        found = await self._ask_all(lambda each: each.server(history=history))
        if not found:
            raise Error("no process of this server answers")
        return _summed(found, self._state(found))

    async def connections(
        self, *, order: str = "number", most: int = 100
    ) -> list[ConnectionSnapshot]:
        """Return the first connections of all processes in an order."""
        check_shown(order, most)
        found = await self._ask_all(lambda each: each.connections(order=order, most=most))
        rows = [replace(row, process=number) for number, rows in found.items() for row in rows]
        rows.sort(key=_KEYS[order], reverse=order != "number")
        return rows[:most]

    async def connection(self, number: int) -> ConnectionSnapshot:
        """Return one connection."""
        process, found = await self._ask(number, lambda each: each.connection(number))
        return replace(found, process=process)

    async def watch(self, every: float = 1.0) -> AsyncIterator[ServerSnapshot]:
        """Yield the sums again and again."""
        if not every >= LEAST:
            raise Error(f"every is {LEAST:g} seconds at least")
        self._enter()
        try:
            while True:
                yield await self.server()
                await asyncio.sleep(every)
        finally:
            self._watchers -= 1

    async def tap(self, number: int) -> AsyncIterator[Tapped]:
        """Yield what happens on a connection."""
        self._enter()
        try:
            inspection = await self._member(number).inspection()
            async for entry in inspection.tap(number):
                yield entry
        except _AWAY:
            raise self._gone(number) from None
        finally:
            self._watchers -= 1

    async def health(self) -> Health:
        """Return the worst state of a process, and the failed checks of all."""
        found = await self._ask_all(lambda each: each.health())
        checks: dict[str, str] = {}
        for number, each in found.items():
            for name, text in each.checks.items():
                checks[name] = checks.get(name) or (f"{text} (process {number})" if text else "")
        state = self._state(found)
        return Health(state, state == "serving", checks)

    async def kick(
        self, *, user: str | None = None, number: int | None = None, reason: str = ""
    ) -> int:
        """End the connections of a user in all processes, or one connection."""
        if (user is None) == (number is None):
            raise Error("kick takes user= or number=")
        if number is not None:
            act = self._ask(number, lambda each: each.kick(number=number, reason=reason))
            return (await act)[1]
        counts = await self._ask_all(lambda each: each.kick(user=user, reason=reason))
        return sum(counts.values())

    async def drain(self, seconds: float | None = None, after: float | None = None) -> None:
        """Begin to close all processes; none is started again."""
        check_drain(seconds, after)
        self._stop()
        self._drain = (seconds, after)
        await self._ask_all(lambda each: each.drain(seconds, after))
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain_late_ones())

    async def manhole(self) -> object:
        """Refuse it: each process has its own."""
        raise Error(
            f"this server has {len(self._members)} processes, each with its own manhole: add the"
            " number of one to the address, as in pb shell ADDRESS.1 --server"
        )

    async def _drain_late_ones(self) -> None:
        """Drain a process that has just been started."""
        times = self._drain or (None, None)
        while True:
            await asyncio.sleep(_AGAIN)
            states = await self._ask_all(lambda each: each.server())
            if any(each.state != "draining" for each in states.values()):
                await self._ask_all(lambda each: each.drain(*times))

    def _enter(self) -> None:
        if self._watchers >= MOST_WATCHERS:
            raise ServerBusy(f"{MOST_WATCHERS} watchers")
        self._watchers += 1

    def _member(self, number: int) -> Member:
        if number < 1:
            raise Error(f"there is no open connection {number}")
        return self._members[process_of(number, len(self._members)) - 1]

    def _gone(self, number: int) -> Error:
        return Error(f"process {self._member(number).number} of connection {number} does not run")

    async def _ask(
        self, number: int, act: Callable[[Administration], Awaitable[T]]
    ) -> tuple[int, T]:
        """Ask the process of a connection; return its number and the answer."""
        member = self._member(number)
        try:
            async with asyncio.timeout(PATIENCE):
                return member.number, await act(await member.inspection())
        except _AWAY:
            raise self._gone(number) from None

    async def _ask_all(self, act: Callable[[Administration], Awaitable[T]]) -> dict[int, T]:
        """Ask all processes at once; return the answers of those that have answered."""
        found: dict[int, T] = {}

        async def ask(member: Member) -> None:
            with suppress(*_AWAY):
                async with asyncio.timeout(PATIENCE):
                    found[member.number] = await act(await member.inspection())

        await asyncio.gather(*map(ask, self._members))
        return dict(sorted(found.items()))

    def _state(self, found: Mapping[int, ServerSnapshot | Health]) -> str:
        states = [each.state for each in found.values()]
        missing = [each.number for each in self._members if each.number not in found]
        if missing and self._drain is None:
            states.append(f"degraded: process {missing[0]}")
        if self._drain is not None:
            states.append("draining")
        return min(states, key=lambda state: _STATES.index(state.partition(":")[0]))


_KEYS: Mapping[str, Callable[[ConnectionSnapshot], float]] = {
    "number": lambda row: row.number,
    "age": lambda row: row.age,
    "unsent": lambda row: row.unsent,
    "running": lambda row: row.running,
    "calls": lambda row: row.calls_received,
    "bytes": lambda row: row.bytes_in + row.bytes_out,
    "references": lambda row: row.exports + row.imports,
}


def _summed(found: Mapping[int, ServerSnapshot], state: str) -> ServerSnapshot:
    each = list(found.values())
    limits: Counter[str] = Counter()
    for one in each:
        limits.update(one.limits)
    started = min(one.started for one in each)
    memory = [one.memory for one in each if one.memory is not None]
    return ServerSnapshot(
        addresses=each[0].addresses,
        pid=os.getppid(),
        version=each[0].version,
        started=started,
        uptime=max(0.0, time.time() - started),
        state=state,
        open=sum(one.open for one in each),
        accepted=sum(one.accepted for one in each),
        closed=sum(one.closed for one in each),
        limits=dict(limits),
        slow=sum(one.slow for one in each),
        held=sum(one.held for one in each),
        running=sum(one.running for one in each),
        unsent=sum(one.unsent for one in each),
        calls=sum(one.calls for one in each),
        bytes_in=sum(one.bytes_in for one in each),
        bytes_out=sum(one.bytes_out for one in each),
        lag=max(one.lag for one in each),
        largest_lag=max(one.largest_lag for one in each),
        memory=sum(memory) if len(memory) == len(each) else None,
        history=_joined([one.history for one in each]),
        processes=[
            ProcessSnapshot(
                number, one.pid, one.state, one.uptime, one.open, one.running, one.calls, one.lag,
                one.memory,
            )
            for number, one in found.items()
        ],
    )  # fmt: skip


def _joined(histories: Sequence[Sequence[Sample]]) -> list[Sample]:
    """Return the sums of the last samples, the second before them, and so on, oldest first."""
    joined = []
    for back in range(1, max(map(len, histories), default=0) + 1):
        samples = [each[-back] for each in histories if len(each) >= back]
        joined.append(
            Sample(
                time=max(each.time for each in samples),
                connections=sum(each.connections for each in samples),
                calls=sum(each.calls for each in samples),
                bytes_in=sum(each.bytes_in for each in samples),
                bytes_out=sum(each.bytes_out for each in samples),
                unsent=sum(each.unsent for each in samples),
                lag=max(each.lag for each in samples),
            )
        )
    return joined[::-1]
