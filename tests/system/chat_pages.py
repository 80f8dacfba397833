"""The web pages of the chat in Chromium: `make system` runs this.

What each page looks like is in build/chat, on a screen and on a phone, light and dark.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from support.chat_pages import PASSWORD, House, serving_chat_pages
from support.chat_screen import PICTURES, Screen, chromium, other_site

GLASS = "looking glass"


async def tour(house: House, screen: Screen, new: str) -> None:
    """Sign up, and be an admin; take a picture of each page."""
    await screen.page.goto(screen.address)
    await screen.picture("sign-up")
    await screen.send("Sign up", name=new, password=GLASS)
    await screen.says(f"Welcome, {new}.")
    await screen.picture("welcome")
    await screen.page.goto(screen.address)
    await screen.send("Sign up", name="alice", password=GLASS)
    await screen.says("That name is taken.")
    await screen.picture("taken")
    await screen.page.get_by_role("link", name="For admins").click()
    await screen.send("Log in", name="root", password="wrong")
    await screen.says("Wrong user name or password.")
    await screen.picture("log-in")
    await screen.send("Log in", name="root", password=PASSWORD)
    banner = f"Welcome to the chat, {new}.\nTea at five & <b>cake</b>."
    await screen.send("Set the banner", banner=banner)
    await screen.says("The banner is set.")
    assert house.town.banner == banner
    assert await screen.page.input_value("[name=banner]") == banner
    await screen.picture("admin")


async def test_tour(tmp_path: Path) -> None:
    """Sign-up, a taken name, the banner and a kick, with no script and no other address asked."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    async with serving_chat_pages(tmp_path) as (house, _), chromium("chromium") as browser:
        for scheme, width in (("light", 1000), ("dark", 1000), ("light", 360)):
            visit = await house.come_in("alice")
            house.town.person("alice").join("#tea")
            view: Any = {"viewport": {"width": width, "height": 700}, "color_scheme": scheme}
            context = await browser.new_context(**view)
            page = await context.new_page()
            screen = Screen(house.pages.address, page, f"{scheme}-{width}")
            await tour(house, screen, f"bob-{scheme}-{width}")
            await page.get_by_role("button", name="Kick alice").first.click()
            await screen.says("alice was kicked.")
            assert visit.is_ended
            assert house.heard[-1] == ("gone", "", "alice", "kicked")
            await page.get_by_role("button", name="Log out root").click()
            await page.wait_for_url("**/login")
            assert {url for url in screen.asked if not url.startswith(screen.address)} == set()
            # Nothing but the two errors of the tour: no rule for contents was broken.
            statuses = [text.rpartition(" (")[0][-3:] for text in screen.complaints]
            assert statuses == ["409", "403"], screen.complaints
            await context.close()


async def test_foreign_form(tmp_path: Path) -> None:
    """Forms of another site, and of another port of this machine, change nothing for an admin."""
    async with serving_chat_pages(tmp_path) as (house, _), chromium("chromium") as browser:
        target = f"{house.pages.address}/admin"
        async with other_site(target) as port:
            page = await browser.new_page()
            screen = Screen(house.pages.address, page, "foreign")
            await page.goto(f"{screen.address}/login")
            await screen.send("Log in", name="root", password=PASSWORD)
            await page.wait_for_url("**/admin")
            for host in ("127.0.0.1", "localhost"):
                await page.goto(f"http://{host}:{port}/")
                async with page.expect_response(target) as answered:
                    await screen.send("cats")
                assert (await (await answered.value).request.response()).status == 403
                await screen.says("This form is of another site.")
            assert house.town.banner == "Welcome to the chat."
            await page.goto(target)
            await page.get_by_role("button", name="Log out root").wait_for()


async def test_frame(tmp_path: Path) -> None:
    """No other site shows a page in a frame, and scripts cannot read the cookie."""
    async with serving_chat_pages(tmp_path) as (house, _), chromium("chromium") as browser:
        page = await browser.new_page()
        screen = Screen(house.pages.address, page, "frame")
        await page.goto(f"{screen.address}/login")
        await screen.send("Log in", name="root", password=PASSWORD)
        await page.wait_for_url("**/admin")
        assert [each["name"] for each in await page.context.cookies()] == ["session"]
        assert await page.evaluate("document.cookie") == ""
        async with other_site("/") as port:
            await page.goto(f"http://127.0.0.1:{port}/")
            frame = "document.body.append(Object.assign(document.createElement('iframe'), {src}))"
            await page.evaluate(f"src => {frame}", screen.address)
            async with asyncio.timeout(20):
                while not any("frame" in text.lower() for text in screen.complaints):
                    await asyncio.sleep(0.02)
            assert not await page.frames[1].locator("form").count()
