"""The web pages of the chat as they are served: headers, TLS, proxies, names, and the end."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.certificates import Authority
from support.chat_pages import PASSWORD, House, serving_chat_pages

import broker
from examples.chat.web_pages import serve_pages

GLASS = "looking glass"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/login", 200),
        ("GET", "/admin", 303),
        ("GET", "/style.css", 200),
        ("GET", "/icon.svg", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 415),
        ("POST", "/logout", 303),
        ("POST", "/admin", 403),
        ("PUT", "/", 405),
        ("GET", "/no%0d%0aX:%20y", 404),
        ("GET", "/web_pages.py", 404),
        ("GET", "/../model.py", 404),
    ],
)
async def test_headers(method: str, path: str, status: int, tmp_path: Path) -> None:
    """Each answer has the headers that keep its page from being framed, kept, or active."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        answer = await browser.send(method, path)
        assert answer.status == status
        assert answer.headers["Content-Security-Policy"].startswith(
            "default-src 'self'; form-action 'self'; frame-ancestors 'none'"
        )
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "X" not in answer.headers
        assert "Python" not in answer.headers.get("Server", "")


async def test_files(tmp_path: Path) -> None:
    """The style and the icon have their types, and lead nowhere else."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        style, icon = await browser.get("/style.css"), await browser.get("/icon.svg")
        assert style.headers["Content-Type"] == "text/css; charset=utf-8"
        assert icon.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
        assert "url(" not in style.text
        assert "@import" not in style.text


async def test_tls(tmp_path: Path) -> None:
    """With a certificate the cookie is for https and this host only."""
    pair = Authority(tmp_path).issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    async with serving_chat_pages(tmp_path, tls=tls) as (_, browser):
        assert browser.address.startswith("https://127.0.0.1:")
        answer = await browser.post("/login", name="root", password=PASSWORD)
        token, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert token.startswith("__Host-session=")
        assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(attributes)
        assert (await browser.get("/admin")).status == 200
        answer = await browser.post("/logout")
        assert "Secure" in answer.headers["Set-Cookie"]


async def behind_proxy(tmp_path: Path, origin: str, forwarded: str) -> tuple[int, str]:
    """Sign up through a proxy of ours; return the status and the error."""
    options: dict[str, Any] = {"origins": [origin], "is_behind_proxy": True}
    async with serving_chat_pages(tmp_path, **options) as (_, browser):
        headers = {"Host": origin.partition("://")[2], "Origin": origin}
        if forwarded:
            headers["X-Forwarded-For"] = forwarded
        fields = {"name": "bob", "password": GLASS}
        answer = await browser.send("POST", "/", data=fields, headers=headers)
        return answer.status, answer.alert


@pytest.mark.parametrize(
    ("origin", "forwarded", "status"),
    [
        ("https://chat.example", "127.0.0.1, 192.0.2.1", 200),
        ("https://chat.example", "evil, 2001:db8::1", 200),
        ("https://chat.example", "", 400),
        ("https://chat.example", "192.0.2.1, evil", 400),
        ("http://chat.example", "192.0.2.1", 403),
        ("http://chat.example", "127.0.0.1", 403),
    ],
)
async def test_proxy(origin: str, forwarded: str, status: int, tmp_path: Path) -> None:
    """Behind a proxy the origin is that of the configuration, and the source what it says last."""
    assert (await behind_proxy(tmp_path, origin, forwarded))[0] == status


async def test_sources_behind_a_proxy(tmp_path: Path) -> None:
    """Behind a proxy each browser has its own limit of sign-ups, which it cannot get around."""
    options: dict[str, Any] = {"origins": ["https://chat.example"], "is_behind_proxy": True}
    async with serving_chat_pages(tmp_path, **options) as (_, browser):
        statuses = []
        for number in range(12):
            source = "192.0.2.2" if number == 11 else "192.0.2.1"
            headers = {"Host": "chat.example", "X-Forwarded-For": f"192.0.2.{number}, {source}"}
            fields = {"name": "alice", "password": GLASS}
            statuses.append(await browser.send("POST", "/", data=fields, headers=headers))
        assert [each.status for each in statuses] == [*[409] * 10, 429, 409]


async def test_passwords_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS no password is taken from another machine."""
    monkeypatch.setattr("examples.chat.web_guard._is_loopback", lambda host: False)
    async with serving_chat_pages(tmp_path) as (house, browser):
        for path in ("/", "/login"):
            answer = await browser.post(path, name="root", password=PASSWORD)
            assert answer.status == 403
            assert answer.alert == "Passwords are taken inside TLS or on this machine only."
        assert house.logins.visits == ()


@pytest.mark.parametrize("options", [{"host": "0.0.0.0"}, {"host": ""}, {"is_behind_proxy": True}])
async def test_unknown_origin(options: dict[str, Any], tmp_path: Path) -> None:
    """Where browsers find the pages must be said if it cannot be known."""
    house = House(tmp_path)
    with pytest.raises(broker.ConfigError, match=r"^say "):
        await serve_pages(house.town, house.logins, house.store, port=0, **options)
    house.store.close()


async def test_names(tmp_path: Path) -> None:
    """Pages for all addresses of this machine are found by the names that were given."""
    options: dict[str, Any] = {"host": "0.0.0.0", "names": ["127.0.0.1", "chat.example"]}
    async with serving_chat_pages(tmp_path, **options) as (house, _):
        port = house.pages.address.rpartition(":")[2]
        async with house.browser(f"http://127.0.0.1:{port}") as browser:
            for host in (f"127.0.0.1:{port}", f"chat.example:{port}", f"localhost:{port}"):
                assert (await browser.get("/", Host=host)).status == 200
            assert (await browser.get("/", Host=f"0.0.0.0:{port}")).status == 421


async def test_close(tmp_path: Path) -> None:
    """After the close nobody listens, and all admins are logged out."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        await house.pages.close()
        assert house.logins.visits == ()
        with pytest.raises(aiohttp.ClientConnectionError):
            await browser.get("/")
