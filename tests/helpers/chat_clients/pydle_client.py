"""The library `pydle`: SASL PLAIN inside TLS."""

from __future__ import annotations

import asyncio
import sys

import pydle


class Client(pydle.Client):  # type: ignore[misc]
    """A client that does what the tests ask for."""

    async def on_connect(self) -> None:
        """Go into the room."""
        await super().on_connect()
        await self.join("#lobby")

    async def on_join(self, channel: str, user: str) -> None:
        """Tell that it is in, and who else is."""
        await super().on_join(channel, user)
        if user == self.username:
            print("in", flush=True)

    async def on_channel_message(self, target: str, by: str, message: str) -> None:
        """Do what it is told; the library tells what it has said itself too."""
        if by == self.nickname:
            return
        print("heard", by, message, flush=True)
        if message == f"go {self.nickname}":
            await self.message("#lobby", f"hello from {self.nickname}")
        elif message == "the end":
            print("name", self.nickname, flush=True)
            print("names", *sorted(self.channels["#lobby"]["users"]), flush=True)
            await self.quit("bye")

    async def on_topic_change(self, channel: str, message: str, by: str) -> None:
        """Tell the topic."""
        print("topic", message, flush=True)

    async def on_disconnect(self, expected: bool) -> None:
        """End the program."""
        done.set()


done = asyncio.Event()


async def main(port: int, name: str, password: str) -> None:
    """Visit the chat."""
    client = Client(name, username=name, sasl_username=name, sasl_password=password)
    await client.connect("127.0.0.1", port, tls=True, tls_verify=False)
    await done.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
