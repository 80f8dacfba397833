"""Topics by time: from publishing to hearing, and deliveries a second, beside nats-py alone.

``python -m bench.topics`` in ``tests/helpers``. Everything is in one process, on one loop: the
nodes, and 50 subscribers of each node, over connections of the loopback.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
from support.nats_server import NatsServer

import broker
from broker.topics.engines.nats import NatsEngine

__all__ = ["main"]

SUBSCRIBERS, ROUNDS, LOAD = 50, 300, 1000
Hear = Callable[[Any], None]


class Door(broker.Root):
    """Gives each peer the topics of a node."""

    def __init__(self, topics: broker.Topics):
        self.topics = topics

    def grants(self) -> broker.Grants:
        """Return a grant for all topics."""
        return broker.Grants(subscribe=[">"])

    def remote_topics(self) -> Any:
        """Return the view of a peer."""
        return self.topics.view(self)


def percentile(times: list[float], part: float) -> float:
    """Return a percentile, in milliseconds."""
    return sorted(times)[int(len(times) * part)] * 1000


async def measure(publish: Callable[[float], Any], heard: asyncio.Queue[float], most: int) -> str:
    """Publish times one by one, and then many at once; return what was heard."""
    times: list[float] = []
    for _ in range(ROUNDS):
        publish(time.perf_counter())
        for _ in range(most):
            times.append(await heard.get())
    begin = time.perf_counter()
    for _ in range(LOAD):
        publish(time.perf_counter())
    for _ in range(LOAD * most):
        await heard.get()
    rate = LOAD * most / (time.perf_counter() - begin)
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, {rate:,.0f} deliveries a second"


async def over(engines: list[Any]) -> str:
    """Measure nodes on these engines: the first publishes, all hear."""
    heard: asyncio.Queue[float] = asyncio.Queue()
    nodes = [broker.Topics(engine) for engine in engines]
    tasks, servers, connections = [], [], []

    async def hear(mine: Any) -> None:
        async for item in mine.subscribe("a", most=10_000):
            heard.put_nowait(time.perf_counter() - item.data)

    for topics in nodes:
        await topics.ready()
        server = await broker.serve(Door(topics), "pb://127.0.0.1:0")
        servers.append(server)
        for _ in range(SUBSCRIBERS):
            connection = await broker.connect(server.addresses[0])
            connections.append(connection)
            mine = connection.root.callRemote("topics").of(broker.TopicsContract)
            tasks.append(asyncio.create_task(hear(mine)))
    await asyncio.sleep(0.5)
    told = await measure(lambda now: nodes[0].publish("a", now), heard, SUBSCRIBERS * len(nodes))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in connections:
        await connection.close()
    for server in servers:
        await server.close()
    for topics in nodes:
        await topics.close()
    return told


async def client_alone(url: str) -> str:
    """Measure nats-py without this library: one publisher, 100 subscriptions of core NATS."""
    heard: asyncio.Queue[float] = asyncio.Queue()
    publisher, reader = await nats.connect(url), await nats.connect(url)

    async def took(message: Any) -> None:
        heard.put_nowait(time.perf_counter() - float(message.data))

    for _ in range(2 * SUBSCRIBERS):
        await reader.subscribe("alone", cb=took)
    await reader.flush()
    waiting: asyncio.Queue[float] = asyncio.Queue()

    async def publish() -> None:
        while True:
            await publisher.publish("alone", repr(await waiting.get()).encode())

    task = asyncio.create_task(publish())
    told = await measure(waiting.put_nowait, heard, 2 * SUBSCRIBERS)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await publisher.close()
    await reader.close()
    return told


async def main() -> None:
    """Measure each way, and print a line for it."""
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder))
        server.start()
        try:
            print("memory, 1 node:", await over([broker.MemoryEngine()]))
            print("NATS, 1 node:", await over([NatsEngine(server.url)]))
            print("NATS, 2 nodes:", await over([NatsEngine(server.url), NatsEngine(server.url)]))
            print("nats-py alone:", await client_alone(server.url))
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(main())
