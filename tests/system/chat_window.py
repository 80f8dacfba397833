"""The chat client in a window of Qt, offscreen, in Qt's loop with the chat server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.chats import chat_in, make_folder

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import qasync
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from examples.chat.client.messenger import Messenger
from examples.chat.client.model import Chat, Line
from examples.chat.client.networks import Kept, network_of
from examples.chat.client.window import Window, html_of

Key = Qt.Key


@pytest.fixture(scope="session")
def app() -> QApplication:
    """Return the application, one for all tests."""
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)
    return app


@pytest.fixture
def each_loop(app: QApplication) -> Callable[[], asyncio.AbstractEventLoop]:
    """Run the tests in Qt's loop."""
    return lambda: qasync.QEventLoop(app)


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Return the folder of a chat."""
    make_folder(tmp_path / "chat")
    return tmp_path / "chat"


@asynccontextmanager
async def opened(chat: Any, *nicks: str) -> AsyncIterator[list[Window]]:
    """Open a window for each user, who is in #lobby."""
    windows = []
    for nick in nicks:
        messenger = Messenger(Chat())
        address = f"pbs://{chat.addresses['pb'].rpartition('/')[2]}"
        network = network_of(address, nick, nick * 2, str(chat.folder / "ca.pem"))
        messenger.add(f"{nick}@town", nick, Kept(network), "#lobby")
        windows.append(Window(messenger))
        windows[-1].show()
    try:
        yield windows
    finally:
        for window in windows:
            await window.messenger.close()
            window.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    while not condition():
        await asyncio.sleep(0.01)


def rooms(window: Window) -> list[str]:
    """Return the list of conversations."""
    return [window.rooms.item(index).text() for index in range(window.rooms.count())]


def click(window: Window, row: int) -> None:
    """Click an entry of the list of conversations."""
    place = window.rooms.visualItemRect(window.rooms.item(row)).center()
    QTest.mouseClick(window.rooms.viewport(), Qt.MouseButton.LeftButton, pos=place)


def typed(window: Window, text: str) -> None:
    """Type a line."""
    QTest.keyClicks(window.typed, text)
    QTest.keyClick(window.typed, Key.Key_Return)


async def test_a_talk(town: Path, tmp_path: Path, each_loop: Any) -> None:
    """Two windows and their server are in one loop: what is typed in one is shown in the other."""
    async with chat_in(town) as chat, opened(chat, "alice", "bob") as (alice, bob):
        for window in (alice, bob):
            await until(lambda window=window: window.rooms.count() == 2)
        click(alice, 1)
        await until(lambda: alice.topic.text() == "alice, bob")
        QTest.keyClicks(alice.typed, "hi b")
        QTest.keyClick(alice.typed, Key.Key_Tab)
        assert alice.typed.text() == "hi bob "
        QTest.keyClick(alice.typed, Key.Key_Return)
        await until(lambda: rooms(bob)[1] == "#lobby (1)")
        click(bob, 1)
        assert "alice hi bob" in bob.lines.toPlainText()
        assert rooms(bob)[1] == "#lobby"
        typed(bob, "/topic tea at five")
        await until(lambda: alice.topic.text() == "tea at five\nalice, bob")
        typed(bob, "<b>not bold</b> <img src=x>")
        await until(lambda: "bob <b>not bold</b> <img src=x>" in alice.lines.toPlainText())
        assert alice.grab().save(str(tmp_path / "talk.png"))
        alice.close()
        assert alice.closed.is_set()


async def test_a_lost_connection(town: Path, tmp_path: Path, each_loop: Any) -> None:
    """The list shows who is offline, and the room that lines may be missing."""
    async with chat_in(town) as chat:
        port = int(chat.addresses["pb"].rpartition(":")[2])
        async with opened(chat, "alice") as (alice,):
            await until(lambda: alice.rooms.count() == 2)
            click(alice, 1)
            await chat.__aexit__(None, None, None)
            await until(lambda: "the connection was lost" in alice.lines.toPlainText())
            assert rooms(alice)[0] == "○ alice@town"
            async with chat_in(town, pb=port):
                await until(lambda: rooms(alice)[0] == "● alice@town")
                await until(lambda: alice.topic.text() == "alice")
                assert "lines may be missing" in alice.lines.toPlainText()
                assert alice.grab().save(str(tmp_path / "gap.png"))


def test_the_program(tmp_path: Path) -> None:
    """SIGTERM ends it in good order, also while there is no server."""
    program = f"""
import sys
sys.path.append({os.fspath(Path(__file__).parents[2])!r})
from examples.chat.client import messenger, model, networks, window
def open_accounts():
    found = messenger.Messenger(model.Chat())
    found.chat.watch(lambda place, line: print(line.kind, flush=True))
    found.add("alice", "alice", networks.Kept(networks.network_of("pb://127.0.0.1:1", "alice", "")))
    return found
window.run(open_accounts)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as running:
        try:
            assert running.stdout.readline() == "offline\n"
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=30) == 0
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (Line(0, "said", "<b>", "a&b"), "<b>&lt;b&gt;</b> a&amp;b"),
        (Line(0, "left", "bob", "<i>"), 'italic">bob has gone (&lt;i&gt;)</span>'),
    ],
)
def test_lines(line: Line, shown: str) -> None:
    """Texts of others are text, whatever is in them."""
    assert html_of(line).endswith(shown)
