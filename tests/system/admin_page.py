"""The page of operators in Chromium, with 1,000 connections: `make system` runs this.

What it looks like is in build/admin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser
from support.chat_screen import Screen, chromium
from support.folders import ROOT

import broker
from cred.checkers import AllowAnonymousAccess
from cred.credentials import Anonymous, UsernamePassword
from cred.portal import Portal
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User

PICTURES = ROOT / "build" / "admin"
PASSWORD = "correct horse"
CROWD = 1000
WIDE: Any = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
NARROW: Any = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
POLICY = broker.STRICT.but(max_waiting=2 * CROWD, max_waiting_each=2 * CROWD)


class Thing(broker.Referenceable):
    """An object that a client holds."""


class Member(broker.Avatar):
    """What the users of the server call."""

    def __init__(self) -> None:
        self.subscribers = broker.Subscribers()

    def perspective_thing(self) -> Thing:
        """Return a new object."""
        return Thing()

    async def perspective_wait(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    def perspective_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[broker.Server]:
    """Serve guests and users, with the page of operators."""
    store = open_store(f"file:{folder / 'users.db'}", create=True)
    verifier = str(ScramVerifier.of_password(PASSWORD))
    for name, groups in (("root", {"operators"}), ("bob", set())):
        store.add(User(name, verifier, frozenset(groups)))
    realm = broker.realm(lambda name, mind: Member())
    portal = Portal(realm, [StoreChecker(store), AllowAnonymousAccess()])
    addresses = "pb://127.0.0.1:0", "ws://127.0.0.1:0/pb"
    async with broker.serve(
        portal, *addresses, http="http://127.0.0.1:0", admin_page=True, policy=POLICY, drain=0.0
    ) as server:
        yield server


async def crowd(stack: AsyncExitStack, address: str, count: int) -> list[broker.Connection]:
    """Connect guests."""
    made: list[broker.Connection] = []
    while len(made) < count:
        batch = [broker.connect(address, Anonymous()) for _ in range(min(50, count - len(made)))]
        made += await asyncio.gather(*(stack.enter_async_context(each) for each in batch))
    return made


async def opened(browser: Browser, address: str, name: str, **view: Any) -> Screen:
    """Open the page in a new window."""
    context = await browser.new_context(**view)
    screen = Screen(address, await context.new_page(), name, PICTURES)
    await screen.page.goto(f"{address}/admin")
    return screen


async def logged_in(browser: Browser, address: str, name: str, **view: Any) -> Screen:
    """Open the page, log in as the operator, and wait for the first rows."""
    screen = await opened(browser, address, name, **view)
    await screen.send("Log in", username="root", password=PASSWORD)
    await screen.page.locator("#state", has_text="live").wait_for()
    await screen.page.locator("tbody tr").first.wait_for()
    return screen


def check(screen: Screen) -> None:
    """Nothing was loaded from elsewhere, and no rule for contents was broken."""
    assert not [url for url in screen.asked if not url.startswith(screen.address)]
    assert screen.complaints == []


async def work(clients: list[broker.Connection]) -> None:
    """Call all the time, now more and now less."""
    number = 0
    while True:
        number += 1
        some = clients[: 20 + 15 * (number % 7)]
        await asyncio.gather(*(each.avatar.callRemote("echo", "x" * 200) for each in some))
        await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_the_page(tmp_path: Path) -> None:
    """An operator sees 1,000 connections live, sorts them, opens one, and kicks it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with (
        serving(tmp_path) as server,
        chromium("chromium") as browser,
        AsyncExitStack() as stack,
    ):
        http = str(server.http_address)
        clients = await crowd(stack, server.addresses[0], CROWD - 1)
        bob = await broker.connect(server.addresses[0], UsernamePassword("bob", PASSWORD))
        held = [await bob.avatar.callRemote("thing") for _ in range(5)]
        waiting = bob.avatar.callRemote("wait")
        waiting.addErrback(lambda _: None)
        working = asyncio.ensure_future(work(clients))

        stranger = await opened(browser, http, "login", **WIDE)
        await stranger.picture("empty")
        await stranger.send("Log in", username="root", password="wrong")
        await stranger.page.locator("#refused:not([hidden])").wait_for()
        await stranger.send("Log in", username="bob", password=PASSWORD)
        text = "You are not in the group operators."
        await stranger.page.locator("#refused", has_text=text).wait_for()
        await stranger.picture("refused")
        check(stranger)

        for name, view in (("wide", WIDE), ("narrow", NARROW)):
            screen = await logged_in(browser, http, name, **view)
            page = screen.page
            await page.locator("#shown", has_text="100 of 1,000").wait_for()
            await page.locator("#totals", has_text="serving").wait_for()
            assert await page.locator("canvas").count() == 4
            await page.get_by_role("button", name="running").click()
            first = page.locator("tbody tr").first
            await first.get_by_text("bob").wait_for()
            await page.wait_for_timeout(6000)
            await screen.picture("top", full_page=False)
            await screen.picture("page")
            await first.click()
            details = page.locator("#details")
            await details.get_by_text("wait", exact=True).wait_for()
            await details.get_by_text("Thing").wait_for()
            await screen.picture("details", full_page=False)
            await page.get_by_role("button", name="Close").click()
            await page.select_option("#most", "1000")
            while await page.locator("tbody tr").count() < CROWD:
                await page.wait_for_timeout(50)
            await screen.picture("all", full_page=False)
            check(screen)
            if name == "wide":
                await page.close()

        await page.select_option("#most", "25")
        await first.get_by_text("bob").click()
        await page.get_by_role("button", name="Kick…").click()
        await page.fill("[name=reason]", "enough")
        await screen.picture("kick", full_page=False)
        await page.get_by_role("button", name="Cancel").click()
        assert not bob.is_closed
        await page.get_by_role("button", name="Kick…").click()
        await page.get_by_role("button", name="Kick", exact=True).click()
        await page.locator("#state", has_text="was kicked").wait_for()
        await bob.wait_closed()
        await page.get_by_role("button", name="Log out").click()
        await page.locator("#login").wait_for()
        check(screen)
        working.cancel()
        await asyncio.wait([working])
        del held


@pytest.mark.timeout(120)
async def test_the_page_comes_back(tmp_path: Path) -> None:
    """When the server is lost the page says so; at a WebSocket port it is the same page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with chromium("chromium") as browser:
        async with serving(tmp_path) as server:
            client = await broker.connect(server.addresses[0], Anonymous())
            web = server.addresses[1].replace("ws://", "http://").removesuffix("/pb")
            screen = await logged_in(browser, web, "again", **WIDE)
            check(screen)
            await client.close()
        await screen.page.locator("#state", has_text="Not connected. Trying again.").wait_for()
        await screen.picture("lost", full_page=False)
