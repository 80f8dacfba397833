"""A server of ours to be attacked: a root, and a portal; says its ports, logs into a file."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import broker
import cred


class Root(broker.Root):
    """What is attacked."""

    def remote_echo(self, value: Any) -> Any:
        """Give it back."""
        return value

    def remote_pair(self, first: Any, second: Any) -> None:
        """Take two."""

    def remote_whole(self, value: Any) -> int:
        """Make an int of a number."""
        return int(value)

    def remote_kind(self, value: Any) -> bytes:
        """Say what is in the list that was given."""
        return type(value[0]).__name__.encode("ascii")

    def remote_book(self) -> bytes:
        """Give half a megabyte."""
        return bytes(500_000)

    def remote_fall(self) -> None:
        """Raise."""
        raise ValueError("the password of the database is secret")


async def main() -> None:
    """Serve until the parent has gone."""
    portal = cred.Portal(
        broker.realm(lambda avatar_id, mind: broker.Avatar()),
        [cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")],
    )
    policy = broker.STRICT.but(challenge_login=True)
    async with (
        broker.serve(Root(), "pb://127.0.0.1:0") as open_to_all,
        broker.serve(portal, "pb://127.0.0.1:0", policy=policy) as with_login,
    ):
        servers = {"root": open_to_all, "portal": with_login}
        ports = {name: server.addresses[0].rpartition(":")[2] for name, server in servers.items()}
        print(json.dumps({name: int(port) for name, port in ports.items()}), flush=True)
        await asyncio.Event().wait()


logging.basicConfig(filename=sys.argv[1], format="%(asctime)s %(message)s", level=logging.WARNING)
asyncio.run(main())
