"""The admin's page as a PB client: tokens, who is where as it changes, and the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.chat_pages import live_chat_pages, serving_chat_pages

import broker
import cred
from examples.chat.live import MOST_TOKENS, TOKEN_SECONDS, PageTokens
from examples.chat.model import Listener, Town


class Visit:
    """The visit of a session."""

    is_ended = False


class Session:
    """A session of a browser."""

    name = "root"

    def __init__(self) -> None:
        self.visit = Visit()


def check(tokens: PageTokens, token: str) -> object:
    """Check a token."""
    return tokens.requestAvatarId(cred.Token(token))


def test_a_token_is_good_for_one_login() -> None:
    """It makes the admin of its session, once; the admin is in the group of admins."""
    tokens, session = PageTokens(), Session()
    token = tokens.make(session)  # type: ignore[arg-type]
    admin: Any = check(tokens, token)
    assert (str(admin), admin.groups, admin.session) == ("root", {"admins"}, session)
    for each in (token, "", "x"):
        with pytest.raises(cred.UnauthorizedLogin):
            check(tokens, each)


def test_tokens_end() -> None:
    """A token ends after some seconds, with its session, and when too many others were made."""
    now = 0.0
    tokens, session = PageTokens(lambda: now), Session()
    late, last, first = (tokens.make(session) for _ in range(3))  # type: ignore[arg-type]
    now = TOKEN_SECONDS
    assert check(tokens, last) == "root"
    now += 0.1
    with pytest.raises(cred.UnauthorizedLogin):
        check(tokens, late)
    for _ in range(MOST_TOKENS):
        tokens.make(session)  # type: ignore[arg-type]
    now = 0.0
    with pytest.raises(cred.UnauthorizedLogin):
        check(tokens, first)
    token = tokens.make(session)  # type: ignore[arg-type]
    session.visit.is_ended = True
    with pytest.raises(cred.UnauthorizedLogin):
        check(tokens, token)


@pytest.mark.timeout(60)
async def test_an_admin_sees_who_comes_and_goes(tmp_path: Path) -> None:
    """The page gets the list at once and after each change; the logout ends its connection."""
    async with live_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        answer = await browser.post("/admin/token")
        assert answer.status == 200
        admin = await broker.connect(house.socket, cred.Token(answer.text))
        lists = await admin.avatar.callRemote("people")
        assert await anext(lists) == []
        alice = await house.come_in("alice")
        assert [each[:2] for each in await anext(lists)] == [["alice", "lines"]]
        house.town.person("alice").join("#tea")
        assert [each[3] for each in await anext(lists)] == [["#tea"]]
        alice.close()
        assert await anext(lists) == []
        assert house.town.where() == []
        await browser.post("/logout")
        await admin.wait_closed()
        assert (await browser.post("/admin/token")).status == 403
        assert not house.town._watchers


@pytest.mark.timeout(60)
async def test_by_a_websocket_of_the_pages(tmp_path: Path) -> None:
    """A user logs in at /pb with a password; the end of the pages ends the connection."""
    alice = cred.UsernamePassword("alice", "wonderland")
    async with live_chat_pages(tmp_path) as (house, browser):
        member = await broker.connect(house.socket, alice)
        assert await member.avatar.callRemote("people") == ["alice"]
        token = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await browser.send("POST", "/admin/token", headers=token)).status == 403
    await member.wait_closed()


async def test_without_a_server(tmp_path: Path) -> None:
    """Pages that are not live have no script and no WebSocket."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        await browser.log_in()
        assert "<script" not in (await browser.get("/admin")).text
        for path in ("/pb", "/talk"):
            assert (await browser.get(path)).status == 404


def test_those_who_watch() -> None:
    """A function is called after each change of who is where, until that is ended."""
    town = Town()
    seen: list[int] = []
    end = town.watch(lambda: seen.append(len(town.where())))
    guest = town.enter("alice", Listener(lambda *event: None, "lines"))
    guest.join("#tea")
    guest.part("#tea")
    guest.leave()
    assert seen == [1, 1, 1, 0]
    end()
    town.enter("bob", Listener(lambda *event: None, "lines"))
    assert len(seen) == 4
