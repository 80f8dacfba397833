"""The connections of the web pages: how many there are, and how long they may say nothing."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from support.certificates import Authority
from support.chat_pages import serving_chat_pages

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(address: str) -> Ends:
    """Connect, and send nothing."""
    host, _, port = address.partition("://")[2].rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def is_closed(ends: Ends) -> bool:
    """Wait until the server has closed a connection, without an answer."""
    try:
        return await ends[0].read() == b""
    except ConnectionResetError:
        return True


async def close(*connections: Ends) -> None:
    """Close connections."""
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize("limit", ["MOST_CONNECTIONS", "MOST_EACH"])
async def test_many(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection more is closed at once; when one has gone, there is room again."""
    monkeypatch.setattr(f"examples.chat.web_port.{limit}", 3)
    async with serving_chat_pages(tmp_path) as (house, browser):
        held = [await connect(house.pages.address) for _ in range(3)]
        extra = await connect(house.pages.address)
        assert await is_closed(extra)
        await close(held.pop(), extra)
        while True:
            try:
                answer = await browser.get("/")
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
        assert answer.status == 200
        await close(*held)


async def test_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All browsers come from the source of a proxy of ours, which has no limit of its own."""
    monkeypatch.setattr("examples.chat.web_port.MOST_EACH", 1)
    options = {"origins": ["https://chat.example"], "is_behind_proxy": True}
    async with serving_chat_pages(tmp_path, **options) as (house, browser):
        held = [await connect(house.pages.address) for _ in range(3)]
        assert (await browser.get("/", Host="chat.example")).status == 200
        await close(*held)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
async def test_silent(sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that does not ask for a page in time is closed; one that has asked is kept."""
    monkeypatch.setattr("examples.chat.web_port.FIRST_REQUEST", 0.3)
    async with serving_chat_pages(tmp_path) as (house, browser):
        kept = await connect(house.pages.address)
        host = browser.address.removeprefix("http://")
        request = f"GET /style.css HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        kept[1].write(request)
        assert (await kept[0].readline()).startswith(b"HTTP/1.1 200 ")
        silent = await connect(house.pages.address)
        silent[1].write(sent)
        assert await is_closed(silent)
        kept[1].write(request)
        while not (await kept[0].readline()).startswith(b"HTTP/1.1 200 "):
            assert not kept[0].at_eof()
        await close(kept, silent)


async def test_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a handshake of TLS is closed in time, and counts until then."""
    monkeypatch.setattr("examples.chat.web_port.HANDSHAKE", 1.0)
    monkeypatch.setattr("examples.chat.web_port.MOST_EACH", 1)
    pair = Authority(tmp_path).issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    async with serving_chat_pages(tmp_path, tls=tls) as (house, _):
        silent = await connect(house.pages.address)
        extra = await connect(house.pages.address)
        assert await is_closed(extra)
        assert silent[0].exception() is None
        assert not silent[0].at_eof()
        assert await is_closed(silent)
        await close(silent, extra)


async def test_close_while_a_handshake_goes_on(tmp_path: Path) -> None:
    """The close waits for no peer."""
    pair = Authority(tmp_path).issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    async with serving_chat_pages(tmp_path, tls=tls) as (house, _):
        silent = await connect(house.pages.address)
        await house.pages.close()
        assert await is_closed(silent)
        await close(silent)


async def test_close_with_a_browser_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection inside TLS whose browser does not answer the close is cut off."""
    monkeypatch.setattr("examples.chat.web_port.CLOSING", 0.1)
    authority = Authority(tmp_path)
    pair = authority.issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    async with serving_chat_pages(tmp_path, tls=tls) as (house, _):
        port = int(house.pages.address.rpartition(":")[2])
        trusting = ssl.create_default_context(cafile=authority.ca_path)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.transport.pause_reading()
        (accepted,) = house.pages._port._sockets
        await house.pages.close()
        assert accepted.fileno() == -1
        writer.transport.abort()


async def test_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system refuses to accept, the port tries again a little later, and not before."""
    monkeypatch.setattr("examples.chat.web_port.RETRY", 0.2)
    accept, tries = socket.socket.accept, []

    def fail_once(sock: socket.socket) -> object:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return accept(sock)

    async with serving_chat_pages(tmp_path) as (_, browser):
        monkeypatch.setattr(socket.socket, "accept", fail_once)
        assert (await browser.get("/")).status == 200
        assert tries[1] - tries[0] >= 0.19


async def test_a_transport_that_was_closed_twice(tmp_path: Path) -> None:
    """Inside TLS it may not tell its peer any more; others are let in, and it still counts."""
    authority = Authority(tmp_path)
    pair = authority.issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate_path, pair.key_path)
    trust = ssl.create_default_context(cafile=authority.ca_path)
    async with serving_chat_pages(tmp_path, tls=tls) as (house, browser):
        port = int(house.pages.address.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        while not house.pages._runner.server.connections:
            await asyncio.sleep(0.01)
        (handler,) = house.pages._runner.server.connections
        handler.transport.close()
        handler.transport.close()
        assert list(house.pages._port._sources())[-1] == "127.0.0.1"
        assert (await browser.get("/")).status == 200
        writer.close()
