"""Measures a call of `broker.blocking` against one that is awaited, in alternating rounds.

``PYTHONPATH=tests/helpers python -m bench.blocking``. One call at a time, as in W1, to a server in
another process. Prints the medians, in microseconds.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time

import broker
from broker import blocking

SERVER = """
import asyncio
import broker

class Echo(broker.Root):
    def remote_echo(self, value):
        return value

async def main():
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        print(server.addresses[0], flush=True)
        await server.serve_forever()

asyncio.run(main())
"""

ROUNDS = 8
CALLS = 3000
UNMEASURED = 300


async def awaited(address: str) -> float:
    """Return the seconds of a call that is awaited."""
    async with broker.connect(address) as connection:
        root = connection.root
        for _ in range(UNMEASURED):
            await root.callRemote("echo", 1)
        begin = time.perf_counter()
        for _ in range(CALLS):
            await root.callRemote("echo", 1)
        return (time.perf_counter() - begin) / CALLS


def waited(address: str) -> float:
    """Return the seconds of a call that a thread waits for."""
    with blocking.connect(address) as connection:
        root = connection.root
        for _ in range(UNMEASURED):
            root.callRemote("echo", 1)
        begin = time.perf_counter()
        for _ in range(CALLS):
            root.callRemote("echo", 1)
        return (time.perf_counter() - begin) / CALLS


def main() -> None:
    """Measure, and print the medians."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        rounds = [(asyncio.run(awaited(address)), waited(address)) for _ in range(ROUNDS)]
        server.terminate()
    async_time, blocking_time = (
        statistics.median(times) * 1e6 for times in zip(*rounds, strict=True)
    )
    print(
        f"awaited {async_time:.0f} µs, blocking {blocking_time:.0f} µs,"
        f" {blocking_time - async_time:.0f} µs more"
    )


if __name__ == "__main__":
    main()
