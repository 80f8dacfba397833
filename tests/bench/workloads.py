"""What is measured: the same for each library, whose side calls, and runs coroutines together.

A side gives ``call(name, *args)``, which returns something to await, and a way to run coroutines at
the same time. What is sent, how often, and how time is taken is the same for both, and is here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["WORKLOADS", "Side", "measure", "records"]

IN_FLIGHT = 100
WARM_UP = 0.2


class Side(Protocol):
    """A client that is connected."""

    def call(self, name: str, *args: Any) -> Awaitable[Any]:
        """Call a method of the server's root."""

    async def together(self, chains: list[Any]) -> None:
        """Run these coroutines at the same time, and wait for all."""


def records() -> list[dict[str, Any]]:
    """Return a hundred dicts, as a table's rows might be: about 9,800 bytes as JSON."""
    return [
        {
            "id": 1000 + number,
            "name": f"user {number:03}",
            "email": f"user{number:03}@example.com",
            "active": number % 3 != 0,
            "score": number / 8,
        }
        for number in range(100)
    ]


async def sequential(side: Side, seconds: float) -> dict[str, float]:
    """One call outstanding; calls a second, and how long one takes."""
    warm = await _call_for(side, WARM_UP)
    times = await _call_for(side, seconds)
    times.sort()
    return {
        "calls": len(warm) + len(times),
        "rate": len(times) / sum(times),
        "p50_us": 1e6 * times[len(times) // 2],
        "p99_us": 1e6 * times[len(times) * 99 // 100],
    }


async def _call_for(side: Side, seconds: float) -> list[float]:
    clock = time.perf_counter
    call = side.call
    times: list[float] = []
    before = clock()
    until = before + seconds
    while before < until:
        await call("echo", "hello")
        now = clock()
        times.append(now - before)
        before = now
    return times


async def in_flight(side: Side, seconds: float) -> dict[str, float]:
    """A hundred calls outstanding; calls a second."""
    warm, _ = await _chains(side, WARM_UP)
    count, taken = await _chains(side, seconds)
    return {"calls": warm + count, "rate": count / taken}


async def _chains(side: Side, seconds: float) -> tuple[int, float]:
    clock = time.perf_counter
    begun = clock()
    until = begun + seconds
    call = side.call
    count = 0

    async def chain() -> None:
        nonlocal count
        while clock() < until:
            await call("echo", "hello")
            count += 1

    await side.together([chain() for _ in range(IN_FLIGHT)])
    return count, clock() - begun


async def structures(side: Side, seconds: float) -> dict[str, float]:
    """A hundred dicts there and back, one call outstanding; what comes back is compared."""
    sent = records()
    count, taken = await _repeat(lambda: side.call("echo", sent), sent, seconds)
    return {"calls": count + 1, "rate": count / taken}


def integers(count: int) -> Callable[[Side, float], Awaitable[dict[str, float]]]:
    """Return the workload that sends a list of so many ints, answered with its length."""

    async def run(side: Side, seconds: float) -> dict[str, float]:
        numbers = list(range(count))
        calls, taken = await _repeat(lambda: side.call("length", numbers), count, seconds)
        return {"calls": calls + 1, "rate": calls / taken, "ms": 1e3 * taken / calls}

    return run


async def _repeat(
    call: Callable[[], Awaitable[Any]], expected: Any, seconds: float
) -> tuple[int, float]:
    """Call once, and then for so long, at least three times; return how often, and the seconds."""
    if await call() != expected:
        raise AssertionError("the answer is not what was expected")
    clock = time.perf_counter
    begun = clock()
    count = 0
    while count < 3 or clock() - begun < seconds:
        if await call() != expected:
            raise AssertionError("the answer is not what was expected")
        count += 1
    return count, clock() - begun


WORKLOADS: dict[str, Callable[[Side, float], Awaitable[dict[str, float]]]] = {
    "W1": sequential,
    "W1 one core": sequential,
    "W2": in_flight,
    "W3": structures,
    "W5 10k": integers(10_000),
    "W5 50k": integers(50_000),
    "W5 200k": integers(200_000),
}


async def measure(side: Side, name: str, seconds: float) -> dict[str, float]:
    """Run one workload of :data:`WORKLOADS`.

    Returns:
        ``calls``, all that were made; ``rate``, of those measured, per second; and what else the
        workload tells.
    """
    return await WORKLOADS[name](side, seconds)
