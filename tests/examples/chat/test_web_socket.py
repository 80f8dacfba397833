"""The WebSocket of the chat's pages: who may open it, and how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import WSMsgType
from support.chat_pages import live_chat_pages

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**HANDSHAKE, "Sec-WebSocket-Protocol": "pb", "Origin": "http://evil.example"}, 403),
        ({**HANDSHAKE, "Sec-WebSocket-Protocol": "pb", "Origin": "null"}, 403),
        ({**HANDSHAKE, "Sec-WebSocket-Protocol": "chat"}, 426),
        (HANDSHAKE, 426),
        ({}, 426),
    ],
)
async def test_what_is_no_websocket_of_ours(
    headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """Pages of other sites, and clients that do not speak PB, are refused."""
    async with live_chat_pages(tmp_path) as (_, browser):
        assert (await browser.get("/pb", **headers)).status == status


@pytest.mark.parametrize(("data", "code"), [("text", 1003), (bytes(65_537), 1009)])
async def test_messages_that_are_not_ours(data: str | bytes, code: int, tmp_path: Path) -> None:
    """A text, and a message of more than 64 KiB, end the connection."""
    async with live_chat_pages(tmp_path) as (house, browser):
        async with browser.session.ws_connect(house.socket, protocols=["pb"]) as socket:
            assert (await socket.receive()).type is WSMsgType.BINARY
            if isinstance(data, str):
                await socket.send_str(data)
            else:
                await socket.send_bytes(data)
            ends = await socket.receive()
            assert (ends.type, ends.data) == (WSMsgType.CLOSE, code)
        while house.server.connections:
            await asyncio.sleep(0.01)


async def test_the_end_of_the_pages(tmp_path: Path) -> None:
    """Those who are connected hear that the site goes away."""
    async with live_chat_pages(tmp_path) as (house, browser):
        socket = await browser.session.ws_connect(house.socket, protocols=["pb"])
        assert (await socket.receive()).type is WSMsgType.BINARY
        await house.pages.close()
        ends = await socket.receive()
        assert (ends.type, ends.data) == (WSMsgType.CLOSE, 1001)


async def test_behind_a_proxy(tmp_path: Path) -> None:
    """The address is that of the browser; a page of the site behind the proxy may connect."""
    site = "https://chat.example"
    options = {"is_behind_proxy": True, "origins": [site]}
    headers = {"Host": "chat.example", "Origin": site, "X-Forwarded-For": "::1, 2001:db8::7"}
    async with live_chat_pages(tmp_path, **options) as (house, browser):
        connecting = browser.session.ws_connect(house.socket, protocols=["pb"], headers=headers)
        async with connecting as socket:
            # Tokens are offered on private connections only.
            assert b"token" in await socket.receive_bytes()
            (connection,) = house.server.connections
            assert connection.peer.address.host == "2001:db8::7"
