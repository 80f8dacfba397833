"""A server in its own process, which reports the memory that it uses.

Its arguments are the policy, ``strict`` or ``published``, and its ``max_buffered``.
"""

import asyncio
import json
import logging
import sys

import broker
from broker.core.policy import PUBLISHED, STRICT


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


class Desk(broker.Root):
    """Answers."""

    server: broker.Server

    def remote_echo(self, value: object) -> object:
        """Return the value."""
        return value

    def remote_blob(self) -> list[bytes]:
        """Return 15 MB."""
        return [bytes(500_000)] * 30

    def remote_facts(self) -> dict[str, object]:
        """Return the server's memory and counters."""
        stats = self.server.stats
        return {
            "memory": resident(),
            "open": stats.accepted - stats.closed,
            "limits": dict(stats.limits),
        }


async def main() -> None:
    """Serve until the parent has ended."""
    policy = {"strict": STRICT, "published": PUBLISHED}[sys.argv[1]]
    policy = policy.but(max_buffered=int(sys.argv[2]))
    desk = Desk()
    desk.server = await broker.serve(desk, "pb://127.0.0.1:0", policy=policy)
    print(json.dumps(desk.server.addresses[0]))
    await desk.server.serve_forever()


logging.basicConfig(format="%(message)s", level=logging.WARNING)
asyncio.run(main())
