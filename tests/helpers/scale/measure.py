"""Measures what one operation of topics and names costs, as processor time of each process.

Processor time is the same on a busy machine, but for caches. Times are in microseconds, and memory
is in bytes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from bench.topics import Part, cpu_of, heard, part
from support.nats_server import NatsServer

from broker.history import Position
from broker.topics.engine import Lease, Outgoing
from broker.topics.engines.nats import NatsEngine

__all__ = ["measure"]

MESSAGES = 4000
SINGLE = 300
JOINS = 300
LEASES = 20_000
NAMES = 500
REPLAYS = 200


def measure() -> dict[str, float]:
    """Return the cost of each operation by its name; see `scale.model.Costs`."""
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder))
        server.start()
        try:
            found = {**_messages(server), **_joins(server)}
            found |= asyncio.run(_requests(server))
        finally:
            server.kill()
    return {name: round(value, 1) for name, value in found.items()}


def _server_cpu(server: NatsServer) -> float:
    """Return the processor seconds of the NATS server so far."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _run(server: NatsServer, nodes: int, ears: int) -> tuple[float, float]:
    """Publish messages; return the seconds for each, of the NATS server and of the last node."""
    with ExitStack() as stack:
        made = [stack.enter_context(part("node", server.url)) for _ in range(nodes)]
        addresses = [each.answer() for each in made]
        who = [
            stack.enter_context(part("subscribers", address, str(ears))) for address in addresses
        ]
        for each in who:
            each.answer()
        heard(made[0], who, 100)
        node, nats = cpu_of(made[-1:]), _server_cpu(server)
        heard(made[0], who, MESSAGES)
        nats_each = (_server_cpu(server) - nats) / MESSAGES
        return nats_each, (cpu_of(made[-1:]) - node) / MESSAGES


def _one_by_one(server: NatsServer, ears: int) -> float:
    """Return the seconds of a node that does not publish for one message by itself."""
    with ExitStack() as stack:
        made = [stack.enter_context(part("node", server.url)) for _ in range(2)]
        addresses = [each.answer() for each in made]
        who = stack.enter_context(part("subscribers", addresses[1], str(ears)))
        who.answer()
        heard(made[0], [who], 1)
        node = cpu_of(made[1:])
        for _ in range(SINGLE):
            heard(made[0], [who], 1)
        return (cpu_of(made[1:]) - node) / SINGLE


def _messages(server: NatsServer) -> dict[str, float]:
    few, read_one = _run(server, 2, 1)
    many, _ = _run(server, 6, 1)
    out = (many - few) / 4
    # A subscriber seldom has two messages at once, so a delivery is measured by itself.
    deliver = (_one_by_one(server, 201) - _one_by_one(server, 1)) / 200
    return {
        "nats_in": 1e6 * (few - 2 * out),
        "nats_out": 1e6 * out,
        # With one subscriber, who has many at once.
        "read": 1e6 * read_one,
        "deliver": 1e6 * deliver,
    }


def _joins(server: NatsServer) -> dict[str, float]:
    """Measure connections with a subscription, and leases of members."""
    with part("node", server.url) as node:
        address = node.answer()
        with part("subscribers", address, "20") as first:
            first.answer()
        cpu, memory = cpu_of([node]), _memory(node)
        with part("subscribers", address, str(JOINS)) as ears:
            ears.answer()
            join = (cpu_of([node]) - cpu) / JOINS
            memory = (_memory(node) - memory) / JOINS
        _settled(node)
        cpu = cpu_of([node])
        asyncio.run(_leases(server.url))
        lease = (_settled(node) - cpu) / LEASES
    return {"join": 1e6 * join, "memory": memory, "lease": 1e6 * lease}


async def _leases(url: str) -> None:
    engine = NatsEngine(url)
    engine.start(lambda entry: None, lambda: None)
    await engine.present([Lease("a", f"user{number}") for number in range(LEASES)], 10.0)
    await engine.close()


def _settled(node: Part) -> float:
    """Wait until a node has nothing more to do; return its processor seconds."""
    before = -1.0
    while (now := cpu_of([node])) - before > 0.02:
        before = now
        time.sleep(1.0)
    return now


def _memory(node: Part) -> float:
    text = Path(f"/proc/{node.pid}/status").read_text()
    return float(text.partition("VmRSS:")[2].split()[0]) * 1024


async def _requests(server: NatsServer) -> dict[str, float]:
    """Measure what the NATS server does for replays, and for the directory of names."""
    found: dict[str, float] = {}

    async def cost(name: str, count: int, work: Callable[[int], Awaitable[object]]) -> None:
        before = _server_cpu(server)
        for number in range(count):
            await work(number)
        found[name] = 1e6 * (_server_cpu(server) - before) / count

    async with AsyncExitStack() as stack:
        engine = NatsEngine(server.url, name="replays")
        engine.start(lambda entry: None, lambda: None)
        stack.push_async_callback(engine.close)
        rows = [Outgoing(f"t.{n}", b"x" * 100, False, False, None, f"i{n}") for n in range(1000)]
        last = (await engine.publish(rows))[-1]
        assert last is not None
        since = Position(last.epoch, last.offset - 100)
        await cost("nats_replay", REPLAYS, lambda number: engine.replay("t.*", since))
        names = engine.directory()
        stack.push_async_callback(names.close)
        await names.join("node", "pbs://host:1", 60.0)
        await cost("nats_claim", NAMES, lambda number: names.claim(f"a.{number}"))
        await cost("nats_find", NAMES, lambda number: names.find(f"a.{number}"))
        await cost("nats_renew", NAMES, lambda number: names.renew())
    return found
