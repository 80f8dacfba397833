"""What the web pages of the chat do: sign-up, logins, and what an admin can do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.chat_pages import PASSWORD, VERIFIER, serving_chat_pages
from support.line_front_end import audited, heed

import broker
from cred import LoginFailed
from cred.users import StoreUnavailable, User

GLASS = "looking glass"


async def test_sign_up(tmp_path: Path) -> None:
    """A new user is welcomed, sees the banner, and can log in by another front end."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        house.town.banner = "tea at <five>"
        assert 'action="/"' in (await browser.get("/")).text
        answer = await browser.post("/", name="bob", password=GLASS)
        assert (answer.status, answer.notice) == (200, "Welcome, <bdi>bob</bdi>.")
        assert "tea at &lt;five&gt;" in answer.text
        user = house.store.find("bob")
        assert user.verifier.startswith("SCRAM-SHA-256$600000:")
        assert user.groups == frozenset()
        visit = await house.come_in("bob", GLASS)
        assert [each.name for each in house.town.where()] == ["bob"]
        visit.close()


@pytest.mark.parametrize("name", ["alice", "ALICE"])
async def test_taken(name: str, tmp_path: Path) -> None:
    """A name is given once, also if only capital letters differ; its owner keeps the password."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        answer = await browser.post("/", name=name, password=GLASS)
        assert (answer.status, answer.alert) == (409, "That name is taken.")
        assert f'value="{name}"' in answer.text
        assert house.store.find("alice").verifier == VERIFIER
        assert [user.name for user in house.store.users()] == ["alice", "root"]


async def test_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two who ask for almost the same name at the same time, one gets it."""
    both = threading.Barrier(2)

    async with serving_chat_pages(tmp_path) as (house, browser):
        users = house.store.users

        def users_for_both() -> Iterator[User]:
            found = list(users())
            # Where one waits for the other, both do not come here.
            with suppress(threading.BrokenBarrierError):
                both.wait(0.5)
            return iter(found)

        monkeypatch.setattr(house.store, "users", users_for_both)
        tries = [browser.post("/", name=name, password=GLASS) for name in ("bob", "BOB")]
        assert sorted(each.status for each in await asyncio.gather(*tries)) == [200, 409]


@pytest.mark.parametrize(
    ("name", "password", "alert"),
    [
        ("bob", "seven77", "A password is 8 to 1024 characters."),
        ("bob", "", "A password is 8 to 1024 characters."),
        ("bob", "a" * 1025, "A password is 8 to 1024 characters."),
        ("bob", "é" * 513, "A password is at most 1024 bytes, and this one has more."),
        ("bob", "eight\0888", "This password has characters it may not have."),
        ("", GLASS, "A name here is up to 32 letters, digits, _ or -."),
        ("b b", GLASS, "A name here is up to 32 letters, digits, _ or -."),
        ("b" * 33, GLASS, "A name here is up to 32 letters, digits, _ or -."),
        ("bób", GLASS, "A name here is up to 32 letters, digits, _ or -."),
        ("bob\n", GLASS, "A name here is up to 32 letters, digits, _ or -."),
        ("bob\r\nSet-Cookie: a=b", GLASS, "A name here is up to 32 letters, digits, _ or -."),
    ],
)
async def test_what_cannot_sign_up(name: str, password: str, alert: str, tmp_path: Path) -> None:
    """A name or password that front ends cannot take is refused, and the form says why."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        answer = await browser.post("/", name=name, password=password)
        assert (answer.status, answer.alert) == (400, alert)
        assert "Set-Cookie" not in answer.headers
        assert password == "" or password not in answer.text
        assert [user.name for user in house.store.users()] == ["alice", "root"]


@pytest.mark.parametrize("password", ["eight888", "a" * 1024, "é" * 512, " <'\"&%+=  "])
async def test_long_and_odd_passwords(password: str, tmp_path: Path) -> None:
    """Each password that can sign up can log in."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        assert (await browser.post("/", name="bob", password=password)).status == 200
        (await house.come_in("bob", password)).close()


async def test_sign_ups_an_hour(tmp_path: Path) -> None:
    """Ten tries an hour from one source, of which taken names count, and mistakes do not."""
    now = [0.0]
    async with serving_chat_pages(tmp_path, clock=lambda: now[0]) as (house, browser):
        for _ in range(3):
            assert (await browser.post("/", name="b", password="short")).status == 400
        for _ in range(9):
            assert (await browser.post("/", name="alice", password=GLASS)).status == 409
        assert (await browser.post("/", name="bob", password=GLASS)).status == 200
        answer = await browser.post("/", name="carol", password=GLASS)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "3600")
        assert answer.alert == "Too many attempts; try again in 60 minutes."
        assert house.store.find("carol") is None
        now[0] = 3600.0
        assert (await browser.post("/", name="carol", password=GLASS)).status == 200


async def test_log_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An admin gets a cookie that neither scripts nor other sites have; each login is audited."""
    heed(caplog)
    async with serving_chat_pages(tmp_path) as (_, browser):
        assert 'action="/login"' in (await browser.get("/login")).text
        answer = await browser.post("/login", name="root", password=PASSWORD)
        assert (answer.status, answer.headers["Location"]) == (303, "/admin")
        token, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert token.startswith("session=")
        assert sorted(attributes) == ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"]
        assert "Set the banner" in (await browser.get("/admin")).text
        assert (await browser.get("/login")).headers["Location"] == "/admin"
        await browser.post("/login", name="root", password="wrong")
        assert (await browser.get("/admin")).status == 200
        assert [line[:3] for line in audited(caplog)] == [
            ("accepted", "root", "web"),
            ("refused", "root", "web"),
        ]


@pytest.mark.parametrize(
    ("name", "password", "alert"),
    [
        ("root", "wrong", "Wrong user name or password."),
        ("nobody", PASSWORD, "Wrong user name or password."),
        ("alice", PASSWORD, "Only admins may do that."),
        ("", "", "Wrong user name or password."),
        ("root\r\nX: y", PASSWORD, "Wrong user name or password."),
    ],
)
async def test_refused_logins(name: str, password: str, alert: str, tmp_path: Path) -> None:
    """Who is not an admin gets no cookie, and sees why."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        answer = await browser.post("/login", name=name, password=password)
        assert (answer.status, answer.alert) == (403, alert)
        assert "Set-Cookie" not in answer.headers
        assert "X" not in answer.headers
        assert house.logins.visits == ()
        assert (await browser.get("/admin")).headers["Location"] == "/login"


async def test_too_many_guesses(tmp_path: Path) -> None:
    """Wrong passwords at the web page make the next login wait, also by another front end."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        for number in range(30):
            answer = await browser.post("/login", name=f"nobody{number}", password="guess")
            assert answer.status in (403, 429)
        answer = await browser.post("/login", name="root", password=PASSWORD)
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.alert.startswith("Too many attempts; try again in ")
        with pytest.raises(broker.TooManyAttempts):
            await house.come_in("alice")
        for visit in house.logins.visits:
            visit.close()


async def test_banner(tmp_path: Path) -> None:
    """The banner is set, and told to those who are here."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        alice = await house.come_in("alice")
        await browser.log_in()
        answer = await browser.post("/admin", banner="tea & <cake>\r\nat five\r\n")
        assert (answer.status, answer.headers["Location"]) == (303, "/admin")
        answer = await browser.get("/admin")
        assert answer.notice == "The banner is set."
        assert "\ntea &amp; &lt;cake&gt;\nat five</textarea>" in answer.text
        assert house.heard == [("banner", "", "root", "tea & <cake>\nat five")]
        assert (await browser.get("/admin")).notice == ""
        alice.close()


@pytest.mark.parametrize(
    ("banner", "alert"),
    [
        ("<b>" + "a" * 1998, "A banner is at most 2000 characters."),
        ("<b>" + "\r\na" * 20, "A banner is at most 20 lines."),
    ],
)
async def test_long_banner(banner: str, alert: str, tmp_path: Path) -> None:
    """A banner that is too long is refused, and what was typed is not lost."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        answer = await browser.post("/admin", banner=banner)
        assert (answer.status, answer.alert) == (400, alert)
        assert f"\n{banner.replace('<b>', '&lt;b&gt;')}</textarea>" in answer.text
        assert house.town.banner == "Welcome to the chat."
        for allowed in ("é" * 2000, "\r\n".join("a" * 20)):
            assert (await browser.post("/admin", banner=allowed)).status == 303


async def test_control_characters_in_a_banner(tmp_path: Path) -> None:
    """Control characters of a banner do not get into the other front ends."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        await browser.post("/admin", banner="a\0b\x1b[31mc\rd\x85e")
        assert not [each for each in house.town.banner.replace("\n", "") if each < " "]


async def test_kick(tmp_path: Path) -> None:
    """A user who is kicked is gone from every front end at once; the page has told who is where."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        alice = await house.come_in("alice")
        house.town.person("alice").join("#tea")
        other = house.logins.arrive("127.0.0.1", is_private=True)
        other.users["alice"] = None
        house.logins.sessions.add(other, None, None)
        await browser.log_in()
        assert "#tea" in (await browser.get("/admin")).text
        answer = await browser.post("/admin/kick", name="alice")
        assert (answer.status, answer.headers["Location"]) == (303, "/admin")
        assert alice.is_ended
        assert other.is_ended
        assert isinstance(alice.reason, broker.LoginExpired)
        assert house.heard[-1] == ("gone", "", "alice", "kicked")
        answer = await browser.get("/admin")
        assert answer.notice == "alice was kicked."
        assert "Nobody is here." in answer.text
        (await house.come_in("alice")).close()


async def test_kick_of_odd_names(tmp_path: Path) -> None:
    """A name is text, whatever is in it, and gets into no header."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        await browser.log_in()
        for name in ("<b>x</b>", "a\r\nSet-Cookie: session=evil", "\0", "é" * 300):
            answer = await browser.post("/admin/kick", name=name)
            assert (answer.status, answer.headers["Location"]) == (303, "/admin")
            assert "Set-Cookie" not in answer.headers
            page = await browser.get("/admin")
            assert "<b>" not in page.text
            assert page.notice.endswith("was kicked.") or "\n" in page.text


async def test_an_admin_kicks_himself(tmp_path: Path) -> None:
    """An admin who kicks himself is logged out."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        await browser.log_in()
        assert (await browser.post("/admin/kick", name="root")).status == 303
        assert (await browser.get("/admin")).headers["Location"] == "/login"


async def test_disable_and_enable(tmp_path: Path) -> None:
    """A user who is disabled is gone, and cannot log in until enabled again."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        alice = await house.come_in("alice")
        await browser.log_in()
        await browser.post("/admin/disable", name="alice")
        assert alice.is_ended
        assert house.store.find("alice").is_disabled
        answer = await browser.get("/admin")
        assert answer.notice == "alice is disabled."
        assert 'aria-label="Enable alice"' in answer.text
        with pytest.raises(LoginFailed):
            await house.come_in("alice")
        await browser.post("/admin/enable", name="alice")
        assert not house.store.find("alice").is_disabled
        (await house.come_in("alice")).close()


async def test_what_cannot_be_disabled(tmp_path: Path) -> None:
    """An admin cannot lock himself out, nor disable a user who does not exist."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        answer = await browser.post("/admin/disable", name="root")
        assert (answer.status, answer.alert) == (400, "You cannot disable yourself.")
        assert not house.store.find("root").is_disabled
        for action in ("disable", "enable"):
            answer = await browser.post(f"/admin/{action}", name="nobody")
            assert (answer.status, answer.alert) == (404, "There is no user of that name.")


@pytest.mark.parametrize("path", ["", "/kick", "/disable", "/enable"])
async def test_admins_only(path: str, tmp_path: Path) -> None:
    """Without a session nothing of the admin's page works."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        answer = await browser.post(f"/admin{path}", name="alice", banner="evil")
        assert (answer.status, answer.alert) == (403, "Log in first.")
        assert not house.store.find("alice").is_disabled
        assert house.town.banner == "Welcome to the chat."


async def test_many_users(tmp_path: Path) -> None:
    """There are 100 users on a page, and links to the others."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        for number in range(150):
            house.store.add(User(f"b{number:03}", VERIFIER))
        await browser.log_in()
        first, second = [(await browser.get(f"/admin?page={page}")).text for page in (1, 2)]
        assert first.count('aria-label="Kick') == 100
        assert "/admin?page=2#users" in first
        assert second.count('aria-label="Kick') == 52
        assert "/admin?page=3#users" not in second
        for page in ("0", "-1", "x", "٣", "9999999", "<b>"):
            assert (await browser.get(f"/admin?page={page}")).status == 404


async def test_store_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer is told as that, without its words."""

    def fail(*args: object) -> None:
        raise StoreUnavailable("secret of the database")

    async with serving_chat_pages(tmp_path) as (house, browser):
        monkeypatch.setattr(house.store, "add", fail)
        answer = await browser.post("/", name="bob", password=GLASS)
        assert (answer.status, answer.alert) == (503, "The server is busy; try again in a minute.")
        assert "secret" not in answer.text


async def test_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of the server is in its log, and not on the page."""

    def fail(*args: object) -> None:
        raise RuntimeError("secret of the server")

    async with serving_chat_pages(tmp_path) as (house, browser):
        monkeypatch.setattr(house.store, "add", fail)
        answer = await browser.post("/", name="bob", password=GLASS)
        assert (answer.status, "secret" in answer.text) == (500, False)
        assert "secret of the server" in caplog.text


async def test_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What people change is in the log, on one line each, and no password is."""
    caplog.set_level(logging.INFO)
    async with serving_chat_pages(tmp_path) as (_, browser):
        await browser.post("/", name="bob", password=GLASS)
        await browser.log_in()
        await browser.post("/admin", banner="tea")
        await browser.post("/admin/kick", name="bob\nforged")
        await browser.post("/admin/disable", name="bob")
        await browser.post("/admin/enable", name="bob")
    assert [each.getMessage() for each in caplog.records if each.name == "examples.chat"] == [
        "bob has signed up",
        "root has set the banner",
        "root kicks 'bob\\nforged'",
        "root has disabled 'bob'",
        "root has enabled 'bob'",
    ]
    assert GLASS not in caplog.text
    assert PASSWORD not in caplog.text
