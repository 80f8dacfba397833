"""The operations that are compared: each does a workload's work for a number of times, not a time.

The work is that of `bench.workloads`. There a measurement lasts for a number of seconds; here a
round has a number of operations, so that two versions of the code do exactly the same.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, cast

from bench.contract import Bench, Client
from bench.repeating import at_a_time, check
from bench.workloads import IN_FLIGHT, Ears, connect, in_calls, records

__all__ = ["OPERATIONS", "Operation", "Run", "names"]

MIB = 1024 * 1024
RECEIVERS = 50
INTEGERS = 200_000

Run: TypeAlias = Callable[[int], Awaitable[None]]
"""Does an operation so many times."""


class Closing(Client, Protocol):
    """A client that can be closed."""

    async def close(self) -> None:
        """Close the connection, and wait for its end."""


@dataclass(frozen=True)
class Operation:
    """What is done in one step of a measurement.

    Attributes:
        title: what it is, in a few words.
        prepare: connects what is needed, and returns what does the step so many times.
        count: of the steps in a round.
        twisted: the same for Twisted, which takes longer; 0 if it cannot do it.
        parts: how many operations a step has; figures are for one of them.
        login: the way of logging in that the server demands; empty for none.
        tls: whether it is always over TLS.
    """

    title: str
    prepare: Callable[[Bench], Awaitable[Run]]
    count: int
    twisted: int
    parts: int = 1
    login: str = ""
    tls: bool = False


async def one_at_a_time(bench: Bench) -> Run:
    """Return calls of ``echo("hello")``, one outstanding."""
    client = await bench.connect()
    call = client.call

    async def run(count: int) -> None:
        for _ in range(count):
            await call("echo", "hello")

    return run


def in_flight(method: str, *, is_beside: bool = False) -> Callable[[Bench], Awaitable[Run]]:
    """Return what prepares calls of a method, a hundred outstanding.

    Args:
        method: of the server.
        is_beside: whether there is one call more that does not end.
    """

    async def prepare(bench: Bench) -> Run:
        client = await bench.connect()
        once = partial(client.call, method, "hello")
        if is_beside:
            client.call("wait")

        async def run(count: int) -> None:
            await at_a_time(bench, IN_FLIGHT, count, once)

        return run

    return prepare


async def structures(bench: Bench) -> Run:
    """Return calls with a hundred dicts there and back, one outstanding."""
    client = await bench.connect()
    sent = records()
    check(await client.call("echo", sent), sent)

    async def run(count: int) -> None:
        for _ in range(count):
            await client.call("echo", sent)

    return run


async def uploads(bench: Bench) -> Run:
    """Return uploads of 1 MiB in pieces, four outstanding."""
    client = await bench.connect()
    data = random.Random(0).randbytes(MIB)
    size = bench.side.piece
    pieces = [data[start : start + size] for start in range(0, MIB, size)]

    async def run(count: int) -> None:
        check(await in_calls(bench, client, pieces * count), MIB * count)

    return run


async def integers(bench: Bench) -> Run:
    """Return calls with a list of 200,000 ints, answered with its length, one outstanding."""
    client = await bench.connect()
    numbers = list(range(INTEGERS))

    async def run(count: int) -> None:
        for _ in range(count):
            check(await client.call("length", numbers), INTEGERS)

    return run


async def events(bench: Bench) -> Run:
    """Return events to 50 receivers; all have answered one before the next is sent."""
    ears = Ears()
    clients = [await bench.connect() for _ in range(RECEIVERS)]
    for client in clients:
        await client.subscribe(ears.hear)

    async def run(count: int) -> None:
        before = ears.heard
        await clients[0].call("publish", count)
        check(ears.heard - before, count * RECEIVERS)

    return run


async def logins(bench: Bench) -> Run:
    """Return logins one by one, each closed before the next."""

    async def run(count: int) -> None:
        for _ in range(count):
            client = cast(Closing, await bench.connect())
            await client.close()

    return run


async def kept_logins(bench: Bench) -> Run:
    """Return logins, 16 at a time, which all stay open."""
    kept: list[Client] = []

    async def run(count: int) -> None:
        await connect(bench, count, kept)

    return run


async def stream(bench: Bench) -> Run:
    """Return items of one stream of ints."""
    client = await bench.connect()

    async def run(count: int) -> None:
        total = 0
        async for number in client.stream("integers", count):
            total += number
        check(total, count * (count - 1) // 2)

    return run


OPERATIONS: Mapping[str, Operation] = {
    "W1": Operation("one call at a time", one_at_a_time, 4000, 1500),
    "W2": Operation("100 calls in flight", in_flight("echo"), 12_000, 2000),
    "W2 async": Operation("the same, of an async method", in_flight("async_echo"), 4000, 2000),
    "W2 beside": Operation(
        "W2 beside a call that does not end", in_flight("echo", is_beside=True), 12_000, 2000
    ),
    "W3": Operation("100 dicts there and back", structures, 400, 6),
    "W4": Operation("1 MiB in pieces", uploads, 60, 12),
    "W5": Operation("a list of 200,000 ints", integers, 10, 1),
    "W6": Operation("events, all 50 answer each", events, 60, 20, parts=RECEIVERS),
    "W7": Operation("logins one by one, closed", logins, 100, 100, login="password"),
    "W7 kept": Operation("logins, 16 at a time, kept", kept_logins, 60, 60, login="password"),
    "W8": Operation("100 calls in flight, TLS", in_flight("echo"), 12_000, 600, tls=True),
    "S1": Operation("an int of a stream", stream, 20_000, 0),
}
"""What can be compared, by the name of its workload."""


def names(text: str) -> list[str]:
    """Return the operations that a list with commas names: ``W1,w2 async,7``.

    Raises:
        argparse.ArgumentTypeError: a name is unknown.
    """
    known = {name.casefold(): name for name in OPERATIONS}
    found = []
    for given in filter(None, map(str.strip, text.split(","))):
        name = known.get(given.casefold()) or known.get(f"w{given}".casefold())
        if name is None:
            choices = ", ".join(OPERATIONS)
            raise argparse.ArgumentTypeError(f"{given!r} is unknown: choose from {choices}")
        found.append(name)
    return found
