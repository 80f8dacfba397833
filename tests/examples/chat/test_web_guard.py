"""What the web pages of the chat refuse, before any handler sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.chat_pages import PASSWORD, serving_chat_pages

from examples.chat.web_guard import HourlyLimit, Refused, origins_of, put_off

NEW = {"name": "bob", "password": "looking glass"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:{port}.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "Same-Origin, cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
]
FORMS = ["/", "/login", "/logout", "/admin", "/admin/kick", "/admin/disable", "/admin/enable"]


@pytest.mark.parametrize("path", FORMS)
async def test_foreign_forms(path: str, tmp_path: Path) -> None:
    """No other site can send a form, even in the browser of an admin."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        await browser.log_in()
        alice = await house.come_in("alice")
        port = browser.address.rpartition(":")[2]
        for foreign in FOREIGN:
            headers = {name: value.format(port=port) for name, value in foreign.items()}
            fields = {"name": "alice", "password": PASSWORD, "banner": "evil"}
            answer = await browser.send("POST", path, data=fields, headers=headers)
            assert (answer.status, answer.alert) == (403, "This form is of another site.")
        assert not alice.is_ended
        assert (await browser.get("/admin")).status == 200
        assert [user.name for user in house.store.users()] == ["alice", "root"]
        assert house.town.banner != "evil"
        assert not house.store.find("alice").is_disabled
        alice.close()


async def test_own_forms(tmp_path: Path) -> None:
    """Forms of the pages are taken, and those of programs that send neither header."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        for headers in (
            {"Origin": browser.address},
            {"Sec-Fetch-Site": "same-origin"},
            {"Origin": browser.address, "Sec-Fetch-Site": "same-origin"},
            {},
        ):
            answer = await browser.send("POST", "/logout", data=b"", headers={**FORM, **headers})
            assert answer.status == 303
        host = browser.address.replace("127.0.0.1", "localhost")
        answer = await browser.send("POST", "/logout", headers={"Host": host[7:], "Origin": host})
        assert answer.status == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_hosts(method: str, tmp_path: Path) -> None:
    """A name of somebody else that leads to this address gets no page."""
    async with serving_chat_pages(tmp_path) as (_, browser):
        port = browser.address.rpartition(":")[2]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
            own = {"Host": host, "Origin": f"http://{host}"}
            answer = await browser.send(method, "/", headers=own)
            assert (answer.status, answer.alert) == (421, "These pages have another address.")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"name=bob&password=looking+glass", {"Content-Type": "text/plain"}, 415),
        (b"name=bob&password=looking+glass", {"Content-Type": "multipart/form-data"}, 415),
        (b'{"name": "bob"}', {"Content-Type": "application/json"}, 415),
        (b"name=bob&password=looking+glass", {**FORM, "Content-Encoding": "gzip"}, 415),
        (b"", FORM, 400),
        (b"name=bob", FORM, 400),
        (b"name=bob&name=alice&password=looking+glass", FORM, 400),
        (b"name=bob&password=looking+glass" + b"&a=b" * 10, FORM, 400),
        (b"name=bob&password=%ff%ff%ff%ff%ff%ff%ff%ff", FORM, 400),
        (b"name=bob&password=\xff\xff\xff\xff\xff\xff\xff\xff", FORM, 400),
        (b"name=bob&password=%ED%A0%80%ED%A0%80%ED%A0%80", FORM, 400),
        (b"password=looking+glass&name=b".ljust(65_537, b"b"), FORM, 413),
        (b"password=looking+glass&name=b".ljust(65_536, b"b"), FORM, 400),
    ],
)
async def test_odd_bodies(
    body: bytes, headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """What is not a form of at most 64 KiB is refused, with a page."""
    async with serving_chat_pages(tmp_path) as (house, browser):
        answer = await browser.send("POST", "/", data=body, headers=headers)
        assert answer.status == status
        assert answer.alert
        assert house.store.find("bob") is None


async def test_body_in_pieces(tmp_path: Path) -> None:
    """A body without a length is bounded, too."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 4096

    async with serving_chat_pages(tmp_path) as (_, browser):
        answer = await browser.send("POST", "/", data=pieces(), headers=FORM)
        assert answer.status == 413


async def test_a_form_that_does_not_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not wait for a form for ever."""
    monkeypatch.setattr("examples.chat.web_guard.READ_SECONDS", 0.05)

    async with serving_chat_pages(tmp_path) as (_, browser):
        host, _, port = browser.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9\r\nContent-Type: "
        writer.write(f"{head}{FORM['Content-Type']}\r\n\r\nname=".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


def test_limit() -> None:
    """Ten an hour from each source; what is older does not count."""
    now = [0.0]
    limit = HourlyLimit(10, lambda: now[0])
    for minute in range(10):
        now[0] = minute * 60.0
        limit.take("192.0.2.1")
    for same in ("192.0.2.1", "::ffff:192.0.2.1"):
        with pytest.raises(Refused, match="try again in 51 minutes") as caught:
            limit.take(same)
        assert caught.value.headers == {"Retry-After": "3060"}
    limit.take("192.0.2.2")
    now[0] = 3600.0
    limit.take("192.0.2.1")
    with pytest.raises(Refused, match="try again in 60 seconds"):
        limit.take("192.0.2.1")


def test_limit_of_a_network() -> None:
    """All addresses of an IPv6 network of 64 bits are one source."""
    limit = HourlyLimit(2, lambda: 0.0)
    limit.take("2001:db8::1")
    limit.take("2001:db8::2%eth0")
    with pytest.raises(Refused):
        limit.take("2001:db8::ffff:0:0:1")
    limit.take("2001:db8:0:1::1")


def test_limit_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many sources are remembered; the one that came longest ago is forgotten."""
    monkeypatch.setattr("examples.chat.web_guard.MOST_SOURCES", 2)
    limit = HourlyLimit(1, lambda: 0.0)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"):
        limit.take(address)
    with pytest.raises(Refused):
        limit.take("192.0.2.3")


def test_waits() -> None:
    """A wait is told in words, and as the header for programs."""
    for seconds, text in ((0.2, "1 seconds"), (119.5, "2 minutes"), (61.2, "62 seconds")):
        assert put_off(seconds).text == f"too many attempts; try again in {text}"
    assert put_off(0.2).headers == {"Retry-After": "1"}


def test_origins() -> None:
    """Origins are as browsers send them: in small letters, without the usual port."""
    assert origins_of(["Chat.Example"], 443, is_tls=True) == {"https://chat.example"}
    assert origins_of(["2001:db8::1"], 80, is_tls=True) == {"https://[2001:db8::1]:80"}
    assert origins_of(["127.0.0.1"], 80, is_tls=False) == {"http://127.0.0.1", "http://localhost"}
    assert origins_of(["a", "b"], 8080, is_tls=False) == {"http://a:8080", "http://b:8080"}
