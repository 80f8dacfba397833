"""Takes the pictures of the chat that the tutorial shows: web pages, and the client in a terminal.

``make pictures`` runs this. It needs Chromium, as `make system` does. The chat runs as in the
tutorial, on free ports, with people of its own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Browser
from support.chat_screen import Screen, chromium
from support.folders import DOCS
from textual.pilot import Pilot

from cred import UsernamePassword
from examples.chat.client.messenger import Messenger
from examples.chat.client.model import Chat as Conversations
from examples.chat.client.networks import Kept, network_of
from examples.chat.client.terminal import Terminal
from examples.chat.main import AUTHORITY, Chat, Settings
from examples.chat.model import IGuest, Listener

__all__ = ["NAMES", "take"]

FOLDER = DOCS / "tutorial" / "pictures"
NAMES = ("sign-up.png", "admin.png", "terminal.png")
PASSWORD = "looking glass"
FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)
BANNER = "Welcome to the tea party.\nNo room? There is plenty of room."
TALK = [
    ("hatter", "Your hair wants cutting."),
    ("alice", "You should learn not to make personal remarks."),
    ("hatter", "Why is a raven like a writing-desk?"),
    ("hare", "/me dips his watch into his cup of tea"),
]
SIZE = (92, 18)
"""Columns and lines of the terminal."""


async def take(folder: Path, program: str = "chromium") -> None:
    """Take all pictures.

    Args:
        folder: where they are written, as `NAMES`.
        program: the name of Chromium.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        async with Chat(Settings(Path(data), **FREE)) as chat, chromium(program) as browser:
            await photograph(chat, browser, folder)


async def photograph(chat: Chat, browser: Browser, folder: Path) -> None:
    """Let people come in and talk, and take the pictures."""
    view: Any = {"viewport": {"width": 900, "height": 560}, "color_scheme": "light"}
    context = await browser.new_context(ignore_https_errors=True, **view)
    screen = Screen(chat.addresses["web"], await context.new_page(), "")
    for name in ("hatter", "hare", "alice"):
        await screen.page.goto(screen.address)
        await screen.page.fill("[name=name]", name)
        await screen.page.fill("[name=password]", PASSWORD)
        if name == "alice":
            await screen.page.screenshot(path=folder / NAMES[0])
        await screen.send("Sign up")
        await screen.says(f"Welcome, {name}.")
    people = {
        name: await guest(chat, name, way) for name, way in (("hatter", "irc"), ("hare", "lines"))
    }
    await log_in(screen, str(chat.admin_password))
    await screen.send("Set the banner", banner=BANNER)
    await screen.says("The banner is set.")
    people["hatter"].join("#riddles")
    people["hatter"].set_topic("#lobby", "the riddle of the day")

    async def admin() -> None:
        await screen.page.goto(f"{screen.address}/admin")
        await screen.page.screenshot(path=folder / NAMES[1], full_page=True)

    svg = await terminal_of(chat, people, admin)
    page = await context.new_page()
    # The font of textual's picture is one of the web.
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    await page.set_content(f"<style>body {{ margin: 0 }}</style>{svg}")
    await page.locator("svg").screenshot(path=folder / NAMES[2])


async def log_in(screen: Screen, password: str) -> None:
    """Log in as the admin."""
    await screen.page.goto(f"{screen.address}/login")
    await screen.send("Log in", name="admin", password=password)
    await screen.page.wait_for_url("**/admin")


async def guest(chat: Chat, name: str, front_end: str) -> Any:
    """Let somebody in, without a socket, and into the lobby."""
    visit = chat.logins.arrive("127.0.0.1", is_private=True)
    mind = Listener(lambda *event: None, front_end)
    login = await visit.login(UsernamePassword(name, PASSWORD), mind, IGuest, mechanism=front_end)
    login.avatar.join("#lobby")
    return login.avatar


async def terminal_of(
    chat: Chat, people: dict[str, Any], admin: Callable[[], Awaitable[None]]
) -> str:
    """Let alice come in by the client in a terminal, and talk; return its screen as SVG.

    ``admin`` is called when she is there.
    """
    messenger = Messenger(Conversations())
    network = network_of(chat.addresses["pb"], "alice", PASSWORD, str(chat.folder / AUTHORITY))
    messenger.add("alice@localhost", "alice", Kept(network), "#lobby")
    messenger.chat.watch(lambda conversation, line: None)
    terminal = Terminal(messenger)
    try:
        async with terminal.run_test(size=SIZE) as pilot:
            while "alice" not in chat.town.find("#lobby").names:
                await pilot.pause(0.01)
            await pilot.press("ctrl+n")
            for who, text in TALK:
                await said(chat, pilot, people, who, text)
            people["hatter"].say("alice", "Have some wine.")
            await pilot.pause(0.3)
            await pilot.press(*"I don't see any")
            await pilot.pause(0.1)
            await admin()
            return terminal.export_screenshot(title="python -m examples.chat.client")
    finally:
        await messenger.close()


async def said(chat: Chat, pilot: Pilot[None], people: dict[str, Any], who: str, text: str) -> None:
    """Let somebody say something; alice types it."""
    history = chat.town.find("#lobby").history
    if who in people:
        people[who].say("#lobby", text)
    else:
        await pilot.press(*text, "enter")
    while not history or (history[-1].who, history[-1].text) != (who, text):
        await pilot.pause(0.01)
    await pilot.pause(0.05)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if sys.argv[1:] else FOLDER))
