"""Starts the chat server that the client is tried against."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.chats import chat_in, make_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a chat, which tests copy."""
    folder = tmp_path_factory.mktemp("chat") / "data"
    make_folder(folder)
    return folder


@pytest.fixture
def open_chat(tmp_path: Path, folder: Path) -> Callable[..., Any]:
    """Return a function that starts the chat of this test, at given ports or free ones."""
    return partial(chat_in, shutil.copytree(folder, tmp_path / "chat"))
