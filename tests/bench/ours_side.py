"""The server or the client of a measurement, with broker: ``serve``, ``connect``, ``await``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import side
import workloads

import broker

PB = broker.STRICT.but(dialects=("pb",))
"""The dialect that Twisted speaks: the two are compared in it."""


class Root(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return what came."""
        return value

    def remote_length(self, numbers: list[int]) -> int:
        """Return how many there are."""
        return len(numbers)


class Client:
    """Calls the root of a connection."""

    def __init__(self, root: broker.RemoteReference):
        self.call = root.callRemote

    async def together(self, chains: list[Any]) -> None:
        """Run coroutines at the same time."""
        await asyncio.gather(*chains)


async def serve() -> None:
    """Serve until the standard input ends."""
    async with broker.serve(Root(), "pb://127.0.0.1:0", policy=PB) as server:
        side.say(int(server.addresses[0].rpartition(":")[2]))
        await asyncio.get_running_loop().run_in_executor(None, side.wait_for_end)


async def call(port: int) -> None:
    """Run the workloads that the standard input names."""
    async with broker.connect(f"pb://127.0.0.1:{port}", policy=PB) as connection:
        side.say(connection.dialect)
        for name, seconds in side.orders():
            side.say(await workloads.measure(Client(connection.root), name, seconds))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "server" else call(int(sys.argv[2])))
