"""What is measured: the same for each library, which only says how to call and how to wait.

What is sent, how often, and how time is taken is here. Each workload returns ``rate``, how many a
second; ``calls``, of how many; and what else it tells. The page on performance says what each is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from bench.contract import Bench, Client, Effort, Workload
from bench.meter import memory_of
from bench.repeating import (
    UPLOADED,
    WARM_UP,
    at_a_time,
    call_for,
    check,
    each,
    p99_us,
    repeat,
)
from bench.stream_workloads import STREAM_TITLES, STREAM_WORKLOADS

__all__ = [
    "LOGIN",
    "SHARED",
    "STREAMS",
    "TITLES",
    "TLS",
    "WAYS",
    "WORKLOADS",
    "Ears",
    "check",
    "connect",
    "in_calls",
    "pipelined",
    "records",
    "uploads",
]

IN_FLIGHT = 100
UPLOADS_IN_FLIGHT = 4
SUBSCRIBERS = 200
EVENTS = 25
LOGINS_AT_A_TIME = 16


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


async def sequential(bench: Bench, effort: Effort) -> dict[str, float]:
    """One call outstanding; calls a second, and how long one takes."""
    client = await bench.connect()
    await call_for(client, min(WARM_UP, effort.seconds))
    meter = bench.meter()
    meter.start()
    times = await call_for(client, effort.seconds)
    figures = meter.stop(len(times))
    times.sort()
    figures["p50_us"] = 1e6 * times[len(times) // 2]
    figures["p99_us"] = p99_us(times)
    return figures


Hundreds: TypeAlias = Callable[[Bench, Client, float], Awaitable[int]]


def pipelined(call: Hundreds) -> Workload:
    """Return the workload that has a hundred calls outstanding; calls a second.

    Args:
        call: calls for so many seconds, and returns how often.
    """

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        client = await bench.connect()
        await call(bench, client, min(WARM_UP, effort.seconds))
        meter = bench.meter()
        meter.start()
        return meter.stop(await call(bench, client, effort.seconds))

    return run


def in_flight(method: str) -> Hundreds:
    """Return what calls a method by a hundred coroutines, each when its last call is answered."""

    async def run(bench: Bench, client: Client, seconds: float) -> int:
        clock = time.perf_counter
        until = clock() + seconds
        call = client.call
        count = 0

        async def chain() -> None:
            nonlocal count
            # At least once, however busy the machine is.
            while not count or clock() < until:
                await call(method, "hello")
                count += 1

        await bench.side.together([chain() for _ in range(IN_FLIGHT)])
        return count

    return run


async def typed_in_flight(bench: Bench, client: Client, seconds: float) -> int:
    """Do the same through a contract, by the object that `Client.typed` returns."""
    echo = await client.typed()
    clock = time.perf_counter
    until = clock() + seconds
    count = 0

    async def chain() -> None:
        nonlocal count
        while not count or clock() < until:
            await echo("hello")
            count += 1

    await bench.side.together([chain() for _ in range(IN_FLIGHT)])
    return count


async def structures(bench: Bench, effort: Effort) -> dict[str, float]:
    """A hundred dicts there and back, one call outstanding; what comes back is compared."""
    client = await bench.connect()
    sent = records()

    async def once() -> None:
        check(await client.call("echo", sent), sent)

    return await repeat(bench, once, effort.seconds)


def integers(count: int) -> Workload:
    """Return the workload that sends a list of so many ints, answered with its length."""

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        client = await bench.connect()
        numbers = list(range(effort.count(count)))

        async def once() -> None:
            check(await client.call("length", numbers), len(numbers))

        figures = await repeat(bench, once, effort.seconds)
        return {**figures, "ms": 1e3 / figures["rate"]}

    return run


Send: TypeAlias = Callable[[Bench, Client, list[bytes]], Awaitable[int]]


async def in_calls(bench: Bench, client: Client, pieces: list[bytes]) -> int:
    """Send pieces as calls, four outstanding; return the sum of the lengths that they answer."""
    waiting = list(pieces)
    answered = 0

    async def chain() -> None:
        nonlocal answered
        while waiting:
            length = await client.call("length", waiting.pop())
            answered += length

    await bench.side.together([chain() for _ in range(UPLOADS_IN_FLIGHT)])
    return answered


def uploads(send: Send) -> Workload:
    """Return the workload that uploads random bytes in pieces, all of which are answered for.

    Args:
        send: sends the pieces, and returns how many bytes the server says it has got.
    """

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        client = await bench.connect()
        data = _bytes(effort)
        size = bench.side.piece
        pieces = [data[start : start + size] for start in range(0, len(data), size)]

        async def once() -> None:
            check(await send(bench, client, pieces), len(data))

        return _with_megabytes(await repeat(bench, once, effort.seconds), data)

    return run


async def paging(bench: Bench, effort: Effort) -> dict[str, float]:
    """The same bytes through a StringPager, in pages of 64 KiB that are not answered."""
    client = await bench.connect()
    data = _bytes(effort)

    async def once() -> None:
        check(await client.page(data), len(data))

    return _with_megabytes(await repeat(bench, once, effort.seconds), data)


def _bytes(effort: Effort) -> bytes:
    return random.Random(0).randbytes(effort.count(UPLOADED))


def _with_megabytes(figures: dict[str, float], data: bytes) -> dict[str, float]:
    return {**figures, "mb_s": figures["rate"] * len(data) / 1e6}


class Ears:
    """Counts what all subscribers of this process hear."""

    def __init__(self) -> None:
        self.heard = 0
        self._awaited = -1
        self._fire: Callable[[Any], object] | None = None

    def hear(self, number: int, text: str) -> None:
        """Take note of an event."""
        self.heard += 1
        if self.heard == self._awaited and self._fire is not None:
            self._fire(None)

    def after(self, more: int, fire: Callable[[Any], object]) -> None:
        """Have ``fire`` called when so many more events have been heard."""
        self._awaited, self._fire = self.heard + more, fire


def events(method: str, *, answered: bool) -> Workload:
    """Return the workload in which the server sends events to 200 connections of one process.

    Args:
        method: of the server, which sends as many events as it is asked for.
        answered: whether its answer means that all events have been heard; else they are waited
            for.
    """

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        ears = Ears()
        count, subscribers = effort.count(EVENTS), effort.count(SUBSCRIBERS)
        clients = [await bench.connect() for _ in range(subscribers)]
        for client in clients:
            await client.subscribe(ears.hear)

        async def once() -> None:
            before = ears.heard
            all_heard, fire = bench.side.promise()
            ears.after(count * subscribers, fire)
            await clients[0].call(method, count)
            if not answered:
                await all_heard
            check(ears.heard - before, count * subscribers)

        return each(await repeat(bench, once, effort.seconds), count * subscribers)

    return run


def logins(warm: int, measured: int) -> Workload:
    """Return the workload that connects and logs in, 16 at a time.

    Args:
        warm: how often before the measurement.
        measured: how often. All connections stay open; what the server's memory grows by in the
            measurement is told for each of them.
    """

    async def run(bench: Bench, effort: Effort) -> dict[str, float]:
        open_ones: list[Client] = []
        await connect(bench, effort.count(warm), open_ones)
        count, before, meter = effort.count(measured), memory_of(bench.server), bench.meter()
        meter.start()
        await connect(bench, count, open_ones)
        figures = meter.stop(count)
        after = memory_of(bench.server)
        if before is not None and after is not None:
            figures["kib"] = (after - before) / 1024 / count
        return figures

    return run


async def connect(bench: Bench, count: int, connected: list[Client]) -> None:
    """Connect and log in so many times, 16 at a time; put the clients into a list."""

    async def once() -> None:
        connected.append(await bench.connect())

    await at_a_time(bench, LOGINS_AT_A_TIME, count, once)


WAYS: Mapping[str, str] = {
    "W7 TLS": "password",
    "W7 TLS certificate": "certificate",
    "W7 TLS SCRAM": "SCRAM",
    "W7 TLS SCRAM-PLUS": "SCRAM-PLUS",
    "W7 TLS token": "token",
    "W7 TLS anonymous": "anonymous",
}
"""The ways of logging in over TLS, by workload."""

WORKLOADS: Mapping[str, Workload] = {
    "W1": sequential,
    "W1 one core": sequential,
    "W2": pipelined(in_flight("echo")),
    "W2 async": pipelined(in_flight("async_echo")),
    "W2 typed": pipelined(typed_in_flight),
    "W3": structures,
    "W4": uploads(in_calls),
    "W4 paging": paging,
    "W5 200k": integers(200_000),
    "W6": events("publish", answered=True),
    "W6b": events("tell", answered=False),
    "W7": logins(200, 600),
    **dict.fromkeys(WAYS, logins(50, 150)),
    "W8": pipelined(in_flight("echo")),
    **STREAM_WORKLOADS,
}
"""How each is run, unless a side says otherwise."""

TITLES: Mapping[str, str] = {
    "W1": "one call at a time",
    "W1 one core": "the same, both ends on one core",
    "W2": "100 calls in flight",
    "W2 async": "W2 with async def methods",
    "W2 typed": "W2 through a contract",
    "W3": "100 dicts there and back",
    "W4": "10 MiB in pieces",
    "W4 paging": "10 MiB through a StringPager",
    "W5 200k": "a list of 200,000 ints",
    "W6": "events, all 200 answer each",
    "W6b": "events to 200, one way",
    "W7": "logins",
    "W7 TLS": "logins over TLS",
    "W7 TLS certificate": "the same, by client certificate",
    "W7 TLS SCRAM": "the same, by SCRAM-SHA-256",
    "W7 TLS SCRAM-PLUS": "the same, by SCRAM-SHA-256-PLUS",
    "W7 TLS token": "the same, with a JWT",
    "W7 TLS anonymous": "the same, as a guest",
    "W8": "100 calls in flight, TLS",
    **STREAM_TITLES,
}
"""What each is in a few words."""

LOGIN: Mapping[str, str] = {"W7": "password", **WAYS}
"""The workloads whose server demands a login, and the way of it."""

TLS = frozenset({*WAYS, "W8"})
"""The workloads over TLS."""

STREAMS = tuple(STREAM_WORKLOADS)
"""The workloads of streams, which Twisted and Pyro5 do not run."""

SHARED = (
    *("W1", "W2", "W2 async", "W2 typed", "W3", "W4", "W4 paging", "W5 200k"),
    *STREAMS,
)
"""Those that leave nothing behind: the same two processes run them one after the other."""
