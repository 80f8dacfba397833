"""A server with few file descriptors, in its own process: prints its port, logs to stderr.

Its argument is how many more descriptors it may open.
"""

import asyncio
import json
import logging
import os
import resource
import sys

import broker


class Desk(broker.Root):
    """Answers."""

    def remote_echo(self, value: object) -> object:
        """Return the value."""
        return value


async def main(more: int) -> None:
    """Serve until the parent has ended."""
    server = await broker.serve(Desk(), "pb://127.0.0.1:0")
    taken = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + more, taken + more))
    print(json.dumps(server.addresses[0]))
    await server.serve_forever()


logging.basicConfig(format="%(message)s", level=logging.WARNING)
asyncio.run(main(int(sys.argv[1])))
