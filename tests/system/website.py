"""The documentation site, built and shown in Chromium: `make system` runs this.

What its pages look like is in build/docs-pictures, at three widths, light and dark.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import web
from support.chat_screen import Screen, chromium
from support.folders import ROOT
from support.programs import command, environment
from website import build
from website.api import Reference, Undocumented
from website.docstrings import markdown

PICTURES = ROOT / "build" / "docs-pictures"
PAGES = [
    "index",
    "tutorial/5-chat",
    "howto/coming-from-grpc",
    "howto/follow-an-object",
    "reference/command",
    "reference/limits",
    "api/broker",
    "performance/index",
    "project/readme",
]
WIDTHS = (390, 820, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site, built as `make docs` builds it."""
    subprocess.run(command("website.build"), env=environment(), check=True, timeout=300)
    return build.FOLDER / "out"


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """Serve a folder, as any web server does; gives its address."""
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        one = web.TCPSite(runner, "127.0.0.1", 0)
        await one.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.timeout(300)
async def test_pages(site: Path) -> None:
    """No page is wider than its screen, complains, or asks another host for anything."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with serving(site) as address, chromium("chromium") as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = await browser.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                screen = Screen(address, page, f"{width}-{scheme}", PICTURES)
                for name in PAGES:
                    await page.goto(f"{address}/{name}.html")
                    await screen.picture(name.replace("/", "-"), full_page=False)
                assert screen.complaints == []
                assert {url for url in screen.asked if not is_own(url, address)} == set()
                await page.close()


def is_own(url: str, address: str) -> bool:
    """Whether an address is of the site, or has its data in itself."""
    return url.startswith((address, f"blob:{address}", "data:"))


@pytest.mark.timeout(300)
async def test_search(site: Path) -> None:
    """The search finds a page by a word of it."""
    async with serving(site) as address, chromium("chromium") as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.goto(f"{address}/index.html")
        await page.keyboard.press("Control+K")
        await page.keyboard.type("cacheable")
        await page.locator("a[href*='howto/follow-an-object.html']:visible").first.wait_for()


def test_names_in_the_reference(site: Path) -> None:
    """The page of a module has the signatures and the texts of its names."""
    text = (site / "api" / "broker.html").read_text("utf-8")
    for name in ("serve", "connect", "Link", "Promise", "Subscribers", "STRICT"):
        assert f'id="broker.{name}"' in text
    assert ":meth:" not in text


def test_a_name_without_a_text(tmp_path: Path) -> None:
    """A public function without a docstring ends the build, and is named."""
    for package in ("broker", "cred", "jelly"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(
            '__all__ = ["bare"]\n\n\ndef bare(): ...\n', encoding="utf-8"
        )
    with pytest.raises(Undocumented, match=r"broker\.bare: a public function"):
        next(Reference(tmp_path).pages())


def test_docstrings() -> None:
    """Roles become code, and what stands behind two colons becomes a block of code."""
    text = (
        "Ends; see :meth:`close`.\n\n::\n\n    with it:\n        run()\n\nDrawn::\n\n    a - ├ b\n"
    )
    assert markdown(text) == (
        "Ends; see `close`.\n\n\n\n```python\nwith it:\n    run()\n```\n\n"
        "Drawn:\n\n```text\na - ├ b\n```\n\n"
    )
