"""Repeats what is measured for some time, and makes figures of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from bench.contract import Bench, Client

__all__ = [
    "UPLOADED",
    "WARM_UP",
    "at_a_time",
    "call_for",
    "check",
    "each",
    "p99_us",
    "repeat",
]

UPLOADED = 10 * 1024 * 1024
"""The bytes of an upload, and of a stream of bytes."""
WARM_UP = 0.2
"""Most seconds of calls before a measurement."""


def check(found: object, expected: object) -> None:
    """See that an answer is right; a wrong one would be measured as a fast one.

    Raises:
        ValueError: it is not.
    """
    if found != expected:
        raise ValueError("the answer is not what was expected")


async def call_for(client: Client, seconds: float) -> list[float]:
    """Call for so long, one call outstanding; return the seconds that each call took."""
    clock = time.perf_counter
    call = client.call
    times: list[float] = []
    before = clock()
    until = before + seconds
    while before < until:
        await call("echo", "hello")
        now = clock()
        times.append(now - before)
        before = now
    return times


async def repeat(
    bench: Bench, once: Callable[[], Awaitable[None]], seconds: float
) -> dict[str, float]:
    """Do something once, and then measure it for so long, at least once more."""
    await once()
    meter = bench.meter()
    meter.start()
    until = time.perf_counter() + seconds
    count = 0
    while count < 1 or time.perf_counter() < until:
        await once()
        count += 1
    return meter.stop(count)


async def at_a_time(
    bench: Bench, most: int, count: int, once: Callable[[], Awaitable[object]]
) -> None:
    """Do something so many times, at most ``most`` of them at the same time."""
    left = count

    async def chain() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await once()

    await bench.side.together([chain() for _ in range(min(count, most))])


def each(figures: dict[str, float], parts: int) -> dict[str, float]:
    """Return the figures of one part of what was measured as a whole."""
    changed = {"calls": figures["calls"] * parts, "rate": figures["rate"] * parts}
    if "cpu_us" in figures:
        changed["cpu_us"] = figures["cpu_us"] / parts
    return {**figures, **changed}


def p99_us(times: list[float]) -> float:
    """Return the microseconds within which 99 % of the calls were answered."""
    return 1e6 * sorted(times)[len(times) * 99 // 100]
