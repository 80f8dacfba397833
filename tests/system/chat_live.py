"""The live pages of the chat in Chromium: `make system` runs this.

What they look like is in build/chat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser
from support.chat_pages import PASSWORD
from support.chat_screen import PICTURES, Screen, chromium

from cred.scram_verifier import ScramVerifier
from cred.users import User
from examples.chat.main import Chat, Settings
from examples.chat.pace import Rate

FREE = dict.fromkeys(("pb", "pb_plain", "irc", "ircs", "lines", "web"), 0)
VERIFIER = str(ScramVerifier.of_password(PASSWORD))


async def screen_of(browser: Browser, chat: Chat, name: str, **view: Any) -> Screen:
    """Open a window without cookies; our authority is not that of the system."""
    context = await browser.new_context(ignore_https_errors=True, **view)
    return Screen(chat.addresses["web"], await context.new_page(), name)


async def talker(browser: Browser, chat: Chat, name: str, password: str, **view: Any) -> Screen:
    """Open the page of the chat, and try to come in."""
    screen = await screen_of(browser, chat, f"talk-{name}", **view)
    await screen.page.goto(f"{screen.address}/talk")
    await screen.send("Come in", name=name, password=password)
    return screen


async def shows(screen: Screen, place: str, text: str) -> None:
    """Wait until a place of the page shows a text."""
    await screen.page.locator(place, has_text=text).wait_for()


def check(screen: Screen) -> None:
    """Nothing was loaded from elsewhere, and no rule for contents was broken."""
    assert not [url for url in screen.asked if not url.startswith(screen.address)]
    assert screen.complaints == []


@pytest.mark.timeout(120)
async def test_live_pages(tmp_path: Path) -> None:
    """Two people talk in browsers; an admin sees them come and go, and kicks one.

    No page is loaded again for it, and the rules for contents hold.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    settings = Settings(tmp_path / "chat", **FREE, rate=Rate(1000, 1.0))
    async with Chat(settings) as chat, chromium("chromium") as browser:
        for name, groups in (("alice", ()), ("bob", ()), ("root", ("admins",))):
            chat.store.add(User(name, VERIFIER, frozenset(groups)))
        admin = await screen_of(browser, chat, "live")
        await admin.page.goto(f"{admin.address}/login")
        await admin.send("Log in", name="root", password=PASSWORD)
        await shows(admin, "#state", "This list changes as people come and go.")
        await shows(admin, "#people", "Nobody is here.")
        await admin.page.evaluate("document.body.dataset.mark = 'the same page'")
        stranger = await talker(browser, chat, "alice", "wrong")
        await stranger.says("wrong")
        await stranger.picture("refused")
        alice = await talker(browser, chat, "alice", PASSWORD)
        await shows(alice, "#names", "alice")
        phone: Any = {"viewport": {"width": 360, "height": 700}, "color_scheme": "dark"}
        bob = await talker(browser, chat, "bob", PASSWORD, **phone)
        await shows(alice, "#names", "alice, bob")
        await alice.send("Say", text="hello <b>bob</b>")
        await shows(bob, "#lines", "<alice> hello <b>bob</b>")
        await bob.send("Say", text="/me waves")
        await shows(alice, "#lines", "* bob waves")
        chat.town.person("alice").set_topic("#lobby", "tea")
        await shows(bob, "#topic", "tea")
        await shows(admin, "#people li >> nth=1", "bob pb")
        assert await admin.page.inner_text("#count") == "2"
        chat.town.person("bob").join("#riddles")
        await shows(admin, "#people", "#lobby, #riddles")
        for screen in (admin, alice, bob):
            await screen.picture("live")
            check(screen)
        chat.town.person("bob").leave()
        await admin.page.get_by_text("#lobby, #riddles").wait_for(state="detached")
        assert await admin.page.evaluate("document.body.dataset.mark") == "the same page"
        await admin.page.locator("#people").get_by_role("button", name="Kick alice").click()
        await admin.says("alice was kicked.")
        await alice.says("kicked")
        await alice.picture("kicked")
        await admin.page.get_by_role("button", name="Log out root").click()
        await admin.page.wait_for_url("**/login")
        while chat.town._watchers:
            await admin.page.wait_for_timeout(10)
