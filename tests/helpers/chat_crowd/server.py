"""The chat for a crowd: users in memory, free ports; prints the addresses as JSON.

Its arguments are the folder, and the number of users. Their names are ``u0``, ``u1`` …, and the
password of each is `PASSWORD`.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cred import InMemoryUsernamePasswordDatabaseDontUse
from examples.chat.main import Chat, Settings

PASSWORD = "wonderland"
FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)


class Lag:
    """The longest time by which a timer of the loop was late, in seconds."""

    def __init__(self) -> None:
        self.most = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            self.most = max(self.most, loop.time() - due)


@asynccontextmanager
async def serving(folder: Path, count: int) -> AsyncIterator[Chat]:
    """Serve the chat for so many users."""
    async with Chat(Settings(folder, **FREE)) as chat:
        # The logins are not what is measured, and those of a store cost half a minute here.
        users = {f"u{number}": PASSWORD for number in range(count)}
        portal = chat.logins.portal
        portal.checkers.clear()
        portal.registerChecker(InMemoryUsernamePasswordDatabaseDontUse(**users))
        yield chat


async def main(folder: Path, count: int) -> None:
    """Serve until the input ends; print lag and processor time for each line of it."""
    async with serving(folder, count) as chat:
        print(json.dumps(chat.addresses | {"ca": str(folder / "ca.pem")}), flush=True)
        lag = Lag()
        background = [asyncio.create_task(lag.run()), asyncio.create_task(chat.serve_forever())]
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps([lag.most, time.process_time()]), flush=True)
            lag.most = 0.0
        for task in background:
            task.cancel()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
