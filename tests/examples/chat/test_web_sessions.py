"""The sessions of browsers: how they begin, and all the ways in which they end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from support.chat_pages import VERIFIER, Browser, serving_chat_pages

from cred.users import User
from examples.chat.web_guard import read_form


async def is_in(browser: Browser) -> bool:
    """Return whether the browser is logged in."""
    answer = await browser.get("/admin")
    assert (answer.status, answer.headers.get("Location")) in ((200, None), (303, "/login"))
    return answer.status == 200


async def out(browser: Browser) -> None:
    """Wait until the browser is logged out."""
    while await is_in(browser):
        await asyncio.sleep(0.01)


async def test_token(tmp_path: Path) -> None:
    """The cookie has 32 random bytes, and is new at each login."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        tokens = set()
        for _ in range(3):
            await browser.log_in()
            tokens.add(browser.cookies["session"])
        assert len(tokens) == 3
        assert {len(token) for token in tokens} == {43}


async def test_unknown_token(tmp_path: Path) -> None:
    """A cookie that the server has not made is worth nothing."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        for token in ("", "a" * 43, "a" * 4000, '"', "\\"):
            cookie = {"Cookie": f"session={token}"}
            answer = await browser.get("/admin", **cookie)
            assert (answer.status, answer.headers["Location"]) == (303, "/login")
            answer = await browser.send("POST", "/admin", data={"banner": "x"}, headers=cookie)
            assert (answer.status, answer.alert) == (403, "Log in first.")


async def test_logout(tmp_path: Path) -> None:
    """After the logout the cookie is deleted, and worth nothing to who has kept it."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        kept = browser.cookies["session"]
        answer = await browser.post("/logout")
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert browser.cookies == {}
        assert house.logins.visits == ()
        answer = await browser.get("/admin", Cookie=f"session={kept}")
        assert answer.status == 303
        assert (await browser.post("/logout")).status == 303


async def test_a_new_login_ends_the_old_one(tmp_path: Path) -> None:
    """A browser has one session; the token from before the login is worth nothing."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        kept = browser.cookies["session"]
        await browser.log_in()
        assert len(house.logins.visits) == 1
        browser.session.cookie_jar.clear()
        assert (await browser.get("/admin", Cookie=f"session={kept}")).status == 303


async def test_hours(tmp_path: Path) -> None:
    """A session ends after its time, also if the browser is busy; the cookie says so."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        answer = await browser.post("/login", name="root", password="wonderland")
        assert "Max-Age=43200;" in answer.headers["Set-Cookie"]
    other = tmp_path / "other"
    other.mkdir()
    async with serving_chat_pages(other, session_seconds=0.3) as (house, browser):
        await browser.log_in()
        await out(browser)
        assert house.logins.visits == ()


async def test_disabled(tmp_path: Path) -> None:
    """An admin who is disabled in the store is logged out."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        root = house.store.find("root")
        house.store.replace(replace(root, is_disabled=True))
        await out(browser)
        answer = await browser.post("/login", name="root", password="wonderland")
        assert (answer.status, answer.alert) == (403, "Wrong user name or password.")


async def test_kicked_admin(tmp_path: Path) -> None:
    """An admin who is kicked is logged out of all browsers at once, and may come back."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        async with house.browser() as other:
            await other.log_in()
            assert house.logins.end_sessions("root") == 2
            assert not await is_in(browser)
            assert not await is_in(other)
            await other.log_in()


async def test_closed(tmp_path: Path) -> None:
    """The end of the logins of all front ends ends the sessions of browsers."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        await house.logins.close()
        assert not await is_in(browser)
        answer = await browser.post("/login", name="root", password="wonderland")
        assert answer.status == 503


async def test_many(tmp_path: Path) -> None:
    """A user has five sessions; one more ends the oldest, and none of another user."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        house.store.add(User("rooter", VERIFIER, frozenset({"admins"})))
        tokens = []
        await browser.log_in("rooter")
        tokens.append(browser.cookies["session"])
        for _ in range(6):
            async with house.browser() as other:
                await other.log_in()
                tokens.append(other.cookies["session"])
        assert len(house.logins.visits) == 6
        browser.session.cookie_jar.clear()
        seen = [await browser.get("/admin", Cookie=f"session={token}") for token in tokens]
        assert [answer.status for answer in seen] == [200, 303, *[200] * 5]


@pytest.mark.parametrize(
    ("path", "field"), [("/admin", "banner"), ("/admin/kick", "name"), ("/admin/disable", "name")]
)
async def test_ended_while_a_form_arrives(
    path: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends before the form has arrived can do nothing more."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def read_slowly(request: web.Request, *names: str) -> list[str]:
        began.set()
        await go_on.wait()
        return await read_form(request, *names)

    async with serving_chat_pages(tmp_path) as (house, browser):
        alice = await house.come_in("alice")
        await browser.log_in()
        monkeypatch.setattr("examples.chat.web_handlers.read_form", read_slowly)
        post = asyncio.create_task(browser.post(path, **{field: "alice"}))
        await began.wait()
        house.logins.end_sessions("root")
        go_on.set()
        answer = await post
        assert (answer.status, answer.alert) == (403, "Log in first.")
        assert not alice.is_ended
        assert house.town.banner == "Welcome to the chat."
        alice.close()
