"""A server with few file descriptors, run as a process of its own: says its port, logs to stderr.

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
        """Give it back."""
        return value


async def main(more: int) -> None:
    """Serve until the parent has gone."""
    server = await broker.serve(Desk(), "pb://127.0.0.1:0")
    taken = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + more, taken + more))
    print(json.dumps(server.addresses[0]))
    await server.serve_forever()


logging.basicConfig(format="%(message)s", level=logging.WARNING)
asyncio.run(main(int(sys.argv[1])))
