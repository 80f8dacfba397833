"""A process of `bench.topics`: a node that serves topics, subscribers of one, or of NATS alone.

``python -m bench.topics_part ROLE ADDRESS …``; it reads numbers from its standard input, a line
each, and prints a line of JSON for each. Times of different processes are of one clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats

import broker
from broker.topics.engines.nats import NatsEngine
from broker.topics.items import Reset

__all__ = ["main"]

MOST = 10_000
READY = True
"""The retained value of the topic: a subscriber who has it hears all that follows."""


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


class Ears:
    """Collects how long after its publication each message was heard."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._changed = asyncio.Event()

    def hear(self, published: float) -> None:
        """Note a message by the time of its publication."""
        self.times.append(time.monotonic() - published)
        self._changed.set()

    async def wait(self, count: int) -> dict[str, Any]:
        """Wait until so many were heard; return how long each took, and when the last one came."""
        while len(self.times) < count:
            self._changed.clear()
            await self._changed.wait()
        times, self.times = self.times, []
        return {"times": times, "end": time.monotonic(), "cpu": time.process_time()}


def tell(value: object) -> None:
    """Print a line."""
    print(json.dumps(value), flush=True)


async def asked(answer: Callable[[int], Awaitable[object]]) -> None:
    """Answer each number of the standard input with a line, until its end."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        tell(await answer(int(line)))


async def node(nats_url: str) -> None:
    """Serve topics; publish as many messages as are asked for."""
    engine = NatsEngine(nats_url) if nats_url.startswith("nats:") else broker.MemoryEngine()
    async with (
        broker.Topics(engine) as topics,
        broker.serve(Door(topics), "pb://127.0.0.1:0") as server,
    ):
        await topics.published("a", READY, keep=True)
        tell(server.addresses[0])

        async def publish(count: int) -> dict[str, float]:
            begin = time.monotonic()
            for _ in range(count):
                topics.publish("a", time.monotonic())
            return {"begin": begin, "cpu": time.process_time()}

        await asked(publish)


async def subscribers(address: str, count: str) -> None:
    """Subscribe so often, each on a connection of its own."""
    ears = Ears()
    ready = asyncio.Semaphore(0)

    async def follow(connection: broker.Connection) -> None:
        mine = connection.root.callRemote("topics").of(broker.TopicsContract)
        async for item in mine.subscribe("a", most=MOST, since=broker.Since.RETAINED):
            if isinstance(item, Reset):
                raise RuntimeError("messages were lost")
            if item.data is READY:
                ready.release()
            else:
                ears.hear(item.data)

    connections = [await broker.connect(address) for _ in range(int(count))]
    tasks = [asyncio.create_task(follow(connection)) for connection in connections]
    for _ in tasks:
        await ready.acquire()
    tell("ready")
    await asked(lambda number: ears.wait(number * int(count)))
    for task in tasks:
        task.cancel()


async def nats_publisher(url: str) -> None:
    """Publish with nats-py alone, in core NATS."""
    client = await nats.connect(url)
    tell("ready")

    async def publish(count: int) -> dict[str, float]:
        begin = time.monotonic()
        for _ in range(count):
            await client.publish("alone", repr(time.monotonic()).encode())
        await client.flush()
        return {"begin": begin, "cpu": time.process_time()}

    await asked(publish)
    await client.close()


async def nats_subscribers(url: str, count: str) -> None:
    """Subscribe so often with nats-py alone, on one connection."""
    ears = Ears()
    client = await nats.connect(url)

    async def took(message: Any) -> None:
        ears.hear(float(message.data))

    for _ in range(int(count)):
        await client.subscribe("alone", cb=took, pending_msgs_limit=1_000_000)
    await client.flush()
    tell("ready")
    await asked(lambda number: ears.wait(number * int(count)))
    await client.close()


ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "node": node,
    "subscribers": subscribers,
    "nats-publisher": nats_publisher,
    "nats-subscribers": nats_subscribers,
}


async def main(role: str, *arguments: str) -> None:
    """Play a role."""
    await ROLES[role](*arguments)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
