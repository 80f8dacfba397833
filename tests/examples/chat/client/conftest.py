"""Makes the package ``examples`` importable without what is beside it, and starts chats."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import pytest

from cred.scram_verifier import ScramVerifier
from cred.users import User

if "examples" not in sys.modules:
    spec = ModuleSpec("examples", None, is_package=True)
    spec.submodule_search_locations = [str(Path(__file__).parents[4] / "examples")]
    sys.modules["examples"] = module_from_spec(spec)

from examples.chat.main import Chat, Settings

FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)

OpenChat = Callable[..., AbstractAsyncContextManager[Chat]]


class WithoutPages(Chat):
    """A chat without its web pages."""

    async def _start_web(self, stack: AsyncExitStack) -> None:
        pass


@pytest.fixture(scope="session")
def verifiers() -> dict[str, str]:
    """Return the verifiers of the users alice and bob; their passwords are their names twice."""
    return {name: str(ScramVerifier.of_password(name * 2)) for name in ("alice", "bob")}


@pytest.fixture
def open_chat(tmp_path: Path, verifiers: dict[str, str]) -> OpenChat:
    """Return a function that starts a chat with these users, at given ports or free ones."""

    @asynccontextmanager
    async def opened(**ports: int) -> AsyncIterator[Any]:
        async with WithoutPages(Settings(tmp_path / "chat", **{**FREE, **ports})) as chat:
            for name, verifier in verifiers.items():
                if chat.store.find(name) is None:
                    user = User(name, verifier)
                    await asyncio.to_thread(partial(chat.store.add, user))
            yield chat

    return opened
