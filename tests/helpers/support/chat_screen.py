"""Chromium, as the browser of people in the chat, and another site whose forms go to the chat."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from support.folders import ROOT

__all__ = ["PICTURES", "Screen", "chromium", "other_site"]

PICTURES = ROOT / "build" / "chat"

FOREIGN = """<!doctype html><title>cats</title>
<form method="post" action="{target}"><input name="banner" value="evil"><button>cats</button></form>
"""


@asynccontextmanager
async def chromium(program: str) -> AsyncIterator[Browser]:
    """Start the program of that name: Debian's Chromium."""
    # Chromium refuses to sandbox its processes for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        path = shutil.which(program)
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def other_site(target: str) -> AsyncIterator[int]:
    """Serve a page with a form that goes to the target; gives the port."""

    async def cats(request: web.Request) -> web.Response:
        return web.Response(text=FOREIGN.format(target=target), content_type="text/html")

    app = web.Application()
    app.router.add_get("/", cats)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Screen:
    """A window of a browser, which notes what its pages ask for and complain about.

    Args:
        address: of the pages of the chat.
        page: of playwright.
        name: the beginning of the names of pictures.
        pictures: the folder for the pictures.
    """

    def __init__(self, address: str, page: Page, name: str, pictures: Path = PICTURES):
        self.address, self.page, self.name = address, page, name
        self.pictures = pictures
        self.asked: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.add(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def send(self, button: str, **fields: str) -> None:
        """Fill fields of the form, and send it with a button."""
        for name, value in fields.items():
            await self.page.fill(f"[name={name}]", value)
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def says(self, text: str) -> None:
        """Wait until the page says that something was done, or was refused."""
        await self.page.locator(".said", has_text=text).wait_for()

    async def picture(self, name: str, full_page: bool = True) -> None:
        """Take a picture of a page, or of its top; nothing of it is wider than the screen."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(wide) <= 0
        path = self.pictures / f"{self.name}-{name}.png"
        await self.page.screenshot(path=path, full_page=full_page)
        assert path.stat().st_size > 5_000
