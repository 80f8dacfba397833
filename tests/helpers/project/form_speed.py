"""Print the processor time of one call in the dialect pb, in microseconds, both ends together."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import broker

ROUNDS = 3
IN_FLIGHT = 100
RECORDS = [
    {
        "id": number,
        "name": f"name-{number:04d}",
        "score": number * 1.5,
        "tags": [f"tag-a-{number}", f"tag-b-{number}", f"tag-c-{number}"],
        "active": number % 2 == 0,
    }
    for number in range(100)
]
VALUES: dict[str, Any] = {
    "w1": "hello",
    "w2": "hello",
    "w3": RECORDS,
    "w5": list(range(200_000)),
}
"""What is sent, by the name of the workload in docs/performance."""


class Root(broker.Root):
    """Returns what it gets, or its length."""

    def remote_echo(self, value: object) -> object:
        """Return the value."""
        return value

    def remote_count(self, values: list[object]) -> int:
        """Return the number of the values."""
        return len(values)


async def measure(workload: str, calls: int) -> float:
    """Return the least time of a call in a few rounds, in microseconds."""
    policy = broker.STRICT.but(dialects=("pb",))
    value, method = VALUES[workload], "count" if workload == "w5" else "echo"
    async with (
        broker.serve(Root(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        call = connection.root.callRemote

        async def one_after_the_other(count: int) -> None:
            for _ in range(count):
                await call(method, value)

        async def run(count: int) -> None:
            if workload == "w2":
                each = count // IN_FLIGHT
                await asyncio.gather(*(one_after_the_other(each) for _ in range(IN_FLIGHT)))
            else:
                await one_after_the_other(count)

        await run(max(IN_FLIGHT if workload == "w2" else 1, calls // 3))
        found = []
        for _ in range(ROUNDS):
            begin = time.process_time()
            await run(calls)
            found.append((time.process_time() - begin) / calls * 1e6)
        return min(found)


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))))
