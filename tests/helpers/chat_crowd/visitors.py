"""A part of a crowd, in a process of its own; the other end of its pipes is `chat_crowd.run`.

Its argument is JSON: ``where`` (the addresses), ``visitors`` (door, name and room of each), and
``rate`` (texts a second). It prints a line when all are in. For a line with a number of seconds it
speaks, and prints how often; for a line with the numbers of texts in the rooms it waits until each
client has heard them, and prints what it has measured.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from typing import Any

from chat_crowd.clients import Speaker, connected
from chat_crowd.server import Lag

AT_ONCE = 4
"""Logins at once; so those of several processes stay below the limit of the server."""

PATIENCE = 60.0


async def come(rows: list[list[str]], where: dict[str, str]) -> list[tuple[str, Speaker]]:
    """Connect all."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(door: str, name: str, room: str) -> tuple[str, Speaker]:
        async with gate:
            return door, await connected(door, name, room, where)

    return await asyncio.gather(*(one(*row) for row in rows))


async def speak(people: list[tuple[str, Speaker]], rate: float, seconds: float) -> Counter[str]:
    """Let one after the other speak; return how often it was done in each room."""
    loop, said = asyncio.get_running_loop(), 0
    began = loop.time()
    rooms: Counter[str] = Counter()
    while said < rate * seconds:
        await asyncio.sleep(max(0.0, began + said / rate - loop.time()))
        _, person = people[said % len(people)]
        person.speak()
        rooms[person.room] += 1
        said += 1
    return rooms


async def heard_all(people: list[tuple[str, Speaker]], rooms: dict[str, int]) -> list[str]:
    """Wait until everybody has heard everything; return what is missing after a long time."""
    ends = time.monotonic() + PATIENCE

    def missing() -> list[str]:
        wanted = [(door, one, rooms[one.room] - one.said) for door, one in people]
        return [
            f"{one.name} by {door} has heard {len(one.ear.waits)} of {count}"
            for door, one, count in wanted
            if len(one.ear.waits) < count
        ]

    while missing() and time.monotonic() < ends:
        await asyncio.sleep(0.05)
    return missing() + [
        f"{one.name} by {door}: {f}" for door, one in people for f in one.ear.faults
    ]


async def main(task: dict[str, Any]) -> None:
    """Do what the lines of the input say."""
    loop = asyncio.get_running_loop()

    async def told() -> Any:
        return json.loads(await loop.run_in_executor(None, sys.stdin.readline))

    def tell(value: Any) -> None:
        print(json.dumps(value), flush=True)

    people = await come(task["visitors"], task["where"])
    tell("in")
    seconds = await told()
    lag = Lag()
    measuring = asyncio.create_task(lag.run())
    tell(await speak(people, task["rate"], seconds))
    faults = await heard_all(people, await told())
    measuring.cancel()
    waits: dict[str, list[float]] = {}
    for door, one in people:
        waits.setdefault(door, []).extend(one.ear.waits)
    tell({"waits": waits, "faults": faults, "lag": lag.most})
    await told()
    for _, one in people:
        await one.close()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(json.loads(sys.stdin.readline())))
