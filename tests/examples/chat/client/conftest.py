"""Makes the package ``examples`` importable without what is beside it, and starts chats."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import pytest

from cred.scram_verifier import ScramVerifier
from cred.users import User

if "examples" not in sys.modules:
    spec = ModuleSpec("examples", None, is_package=True)
    spec.submodule_search_locations = [str(Path(__file__).parents[4] / "examples")]
    sys.modules["examples"] = module_from_spec(spec)

from examples.chat.main import Chat, Settings

FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)

OpenChat = Callable[..., Chat]


class WithoutPages(Chat):
    """A chat without its web pages."""

    async def _start_web(self, stack: AsyncExitStack) -> None:
        pass


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a chat with users, alice and bob; their passwords are their names twice.

    It has certificates too. All of it takes time to make, so tests copy it.
    """
    folder = tmp_path_factory.mktemp("chat") / "data"

    async def make() -> None:
        async with WithoutPages(Settings(folder, **FREE)) as chat:
            for name in ("alice", "bob"):
                chat.store.add(User(name, str(ScramVerifier.of_password(name * 2))))

    asyncio.run(make())
    return folder


@pytest.fixture
def open_chat(tmp_path: Path, folder: Path) -> OpenChat:
    """Return a function that starts the chat of this test, at given ports or free ones."""
    own = shutil.copytree(folder, tmp_path / "chat")
    return lambda **ports: WithoutPages(Settings(own, **{**FREE, **ports}))
