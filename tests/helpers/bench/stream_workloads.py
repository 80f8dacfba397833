"""What is measured of streams: a server sends them, and the client reads them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from bench.answers import PIECE
from bench.contract import Bench, Client, Effort, Workload
from bench.repeating import UPLOADED, WARM_UP, call_for, check, each, p99_us, repeat

__all__ = ["STREAM_TITLES", "STREAM_WORKLOADS"]

INTEGERS = 20_000
STREAMS_AT_ONCE = 10
TURNS = 5


async def stream_of_integers(bench: Bench, effort: Effort) -> dict[str, float]:
    """One stream of ints after the other; items a second."""
    client = await bench.connect()
    count = effort.count(INTEGERS)
    return each(await repeat(bench, lambda: _read_integers(client, count), effort.seconds), count)


async def _read_integers(client: Client, count: int) -> None:
    total = 0
    async for number in client.stream("integers", count):
        total += number
    check(total, count * (count - 1) // 2)


async def stream_of_bytes(bench: Bench, effort: Effort) -> dict[str, float]:
    """As many bytes as an upload has, in one stream of pieces of 64 KiB."""
    client = await bench.connect()
    count = effort.count(UPLOADED // len(PIECE))
    figures = await repeat(bench, lambda: _read_pieces(client, count), effort.seconds)
    return {**figures, "mb_s": figures["rate"] * count * len(PIECE) / 1e6}


async def _read_pieces(client: Client, count: int) -> None:
    taken = 0
    async for piece in client.stream("pieces", count):
        taken += len(piece)
    check(taken, count * len(PIECE))


async def streams_at_once(bench: Bench, effort: Effort) -> dict[str, float]:
    """Ten streams of ints at once, in turns with one of as many; items a second of each."""
    client = await bench.connect()
    count = effort.count(INTEGERS // STREAMS_AT_ONCE)
    total = count * STREAMS_AT_ONCE

    async def at_once() -> None:
        chains = [_read_integers(client, count) for _ in range(STREAMS_AT_ONCE)]
        await bench.side.together(chains)

    clock = time.perf_counter
    spent = {"one": 0.0, "ten": 0.0}
    await at_once()
    rounds = 0
    while rounds < 1 or sum(spent.values()) < effort.seconds:
        begun = clock()
        await _read_integers(client, total)
        between = clock()
        await at_once()
        spent["one"] += between - begun
        spent["ten"] += clock() - between
        rounds += 1
    return {
        "calls": rounds * total,
        "rate": rounds * total / spent["ten"],
        "one_rate": rounds * total / spent["one"],
        "to_one": spent["one"] / spent["ten"],
    }


def calls_beside(read: Callable[[Client, int], Awaitable[None]], count: int) -> Workload:
    """Return the workload with one call outstanding, in turns alone and beside a stream.

    Args:
        read: reads a stream of so many items; when it has ended, the next one begins.
        count: of the items.
    """

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        client = await bench.connect()
        items = effort.count(count)
        is_over = False
        alone: list[float] = []
        beside: list[float] = []

        async def stream() -> None:
            while not is_over:
                await read(client, items)

        async def call() -> None:
            nonlocal is_over
            beside.extend(await call_for(client, effort.seconds / TURNS))
            is_over = True

        await call_for(client, min(WARM_UP, effort.seconds))
        for _ in range(TURNS):
            alone += await call_for(client, effort.seconds / TURNS)
            is_over = False
            await bench.side.together([stream(), call()])
        return {
            "calls": len(beside),
            "rate": len(beside) / sum(beside),
            "alone_p99_us": p99_us(alone),
            "p99_us": p99_us(beside),
            "to_alone": p99_us(beside) / p99_us(alone),
        }

    return run


STREAM_WORKLOADS: Mapping[str, Workload] = {
    "S1": stream_of_integers,
    "S2": stream_of_bytes,
    "S3": streams_at_once,
    "S4": calls_beside(_read_pieces, UPLOADED // len(PIECE)),
    "S4 ints": calls_beside(_read_integers, INTEGERS),
}
"""How each is run."""

STREAM_TITLES: Mapping[str, str] = {
    "S1": "a stream of ints",
    "S2": "a stream of bytes",
    "S3": "10 streams of ints at once",
    "S4": "calls beside a stream of bytes",
    "S4 ints": "calls beside a stream of ints",
}
"""What each is in a few words."""
