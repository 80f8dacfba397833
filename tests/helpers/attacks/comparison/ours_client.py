"""A client of this library that a server attacks, and that also calls another server.

Its arguments are the path of its log, the policy, the dialect, and the port of the other server. It
reads the address of the attacking server and the proxy to it, which may be null, as a line, and
writes a line with the outcome.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any

import broker
from attacks.comparison.methods import State
from broker import pb
from broker.core.policy import PUBLISHED, STRICT, Policy

POLICIES = {"strict": STRICT, "published": PUBLISHED}
CALM, SETTLING, PATIENCE = 0.5, 1.0, 30.0


class Point(State, broker.Copyable, broker.RemoteCopy):
    """A copy of a peer."""

    x: int | bytes = 0


class Feed(pb.RemotePublished):
    """A server's published object; this client keeps no copy of it."""

    remote: Any
    publishedID: Any
    perspective: Any
    service: Any
    timestamp: Any
    price: int = 0


class Bystander:
    """Calls the other server without pause, in the same loop as the attacked connection.

    Attributes:
        longest: the longest wait for an answer, in seconds.
        calls: how many were answered.
    """

    def __init__(self, root: Any):
        self._root = root
        self.longest = 0.0
        self.calls = 0

    async def run(self) -> None:
        """Call until cancelled."""
        while True:
            began = time.perf_counter()
            await self._root.callRemote("echo", 1)
            self.longest = max(self.longest, time.perf_counter() - began)
            self.calls += 1


async def attacked(address: str, proxy: str | None, policy: Policy) -> str:
    """Call the attacker, and return how it ended."""
    try:
        async with broker.connect(address, policy=policy, proxy=proxy) as connection:
            async with asyncio.timeout(PATIENCE):
                await connection.root.callRemote("fetch")
            # Messages after the answer are part of the attack.
            await asyncio.sleep(SETTLING)
    except Exception as error:
        await asyncio.sleep(SETTLING)
        return type(error).__name__
    return "answered"


async def main(policy: Policy, other: int) -> None:
    """Be attacked once."""
    broker.register(Point, "demo.Point")
    broker.register(Feed, "demo.Feed")
    pb.setUnjellyableForClass("demo.Feed", Feed)
    async with broker.connect(f"pb://127.0.0.1:{other}") as connection:
        bystander = Bystander(connection.root)
        print(json.dumps({}), flush=True)
        loop = asyncio.get_running_loop()
        address, proxy = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
        running = asyncio.create_task(bystander.run())
        cpu = time.process_time()
        await asyncio.sleep(CALM)
        each = (time.process_time() - cpu) / bystander.calls
        bystander.longest, bystander.calls, cpu = 0.0, 0, time.process_time()
        end = await attacked(address, proxy, policy)
        cpu = time.process_time() - cpu - each * bystander.calls
        longest, survived = bystander.longest, not running.done()
        running.cancel()
        print(json.dumps([max(cpu, 0.0), longest, end, survived]), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)


logging.basicConfig(filename=sys.argv[1], format="%(asctime)s %(message)s", level=logging.INFO)
chosen = POLICIES[sys.argv[2]].but(dialects=(sys.argv[3],))
asyncio.run(main(chosen, int(sys.argv[4])))
