"""The whole chat server, for tests of its client: with two users, and without web pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from cred.scram_verifier import ScramVerifier
from cred.users import User
from examples.chat.main import Chat, Settings

NAMES = ("alice", "bob")
"""The users. Their passwords are their names twice."""

_FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)


class ChatWithoutPages(Chat):
    """A chat without its web pages."""

    async def _start_web(self, stack: AsyncExitStack) -> None:
        pass


def chat_in(folder: Path, **ports: int) -> Chat:
    """Return a chat that is not started, at given ports or free ones."""
    return ChatWithoutPages(Settings(folder, **{**_FREE, **ports}))


def make_folder(folder: Path, names: Sequence[str] = NAMES) -> None:
    """Make the folder of a chat with its users and certificates, which take time to make."""

    async def make() -> None:
        async with chat_in(folder) as chat:
            for name in names:
                chat.store.add(User(name, str(ScramVerifier.of_password(name * 2))))

    asyncio.run(make())
