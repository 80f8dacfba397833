"""The HTTP port of a server: what strangers on the machine send, while a client goes on calling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from attacks.attacker import POLICIES, binds
from attacks.comparison.websocket_rounds import SMUGGLED
from support.web_ends import heard_at_end, request

import broker
import cred
from broker import server_pages
from broker.server_pages import MOST_CONNECTIONS, SOCKET_PATH


class Avatar(broker.Avatar):
    """Answers."""

    def perspective_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


class Attacked:
    """A server with an HTTP port, and a client of it."""

    def __init__(self, server: broker.Server, bystander: broker.Connection):
        self.server = server
        self._port = int(str(server.http_address).rpartition(":")[2])
        self._bystander = bystander

    async def open(self, data: bytes = b"") -> tuple[Any, Any]:
        """Connect, and send bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(data)
        return reader, writer

    async def call(self) -> None:
        """Let the client call once."""
        assert await self._bystander.avatar.callRemote("echo", 1) == 1


@asynccontextmanager
async def attacked(policy: str) -> AsyncIterator[Attacked]:
    """Serve, and log the client in; at the end it still calls, and the attacker holds nothing."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    portal = cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), [users])
    chosen = POLICIES[policy]
    async with (
        broker.serve(
            portal, "pb://127.0.0.1:0", policy=chosen, http="http://127.0.0.1:0", admin_page=True
        ) as server,
        broker.connect(
            server.addresses[0], cred.UsernamePassword("alice", "secret"), policy=chosen
        ) as bystander,
    ):
        made = Attacked(server, bystander)
        await made.call()
        before = psutil.Process().num_fds()
        yield made
        await made.call()
        while server._pages._arrived or psutil.Process().num_fds() > before:
            await asyncio.sleep(0.01)
        # No place of a client was taken, and no limit of the server was used up.
        assert not server.stats.limits


@binds("E-http", dialects=())
@pytest.mark.parametrize("name", SMUGGLED)
async def test_smuggled_requests(name: str, policy: str) -> None:
    """A connection has one request and one answer; what follows is never read as another."""
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(SMUGGLED[name]))
        assert heard.count(b"HTTP/1.1 ") == 1
        assert not heard.startswith(b"HTTP/1.1 101")


@binds("E-http", dialects=())
async def test_data_behind_an_upgrade(policy: str) -> None:
    """Nothing may follow the request for the WebSocket before its answer."""
    head = request("Host: localhost", line=f"GET {SOCKET_PATH} HTTP/1.1")
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(head + b"x"))
        assert heard.startswith(b"HTTP/1.1 400 ")


@binds("E-http", dialects=())
@pytest.mark.parametrize("start", [b"", b"G", b"GET /metrics HTTP/1.1\r\nX: "])
async def test_slow_heads(start: bytes, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that comes a byte at a time is given up after some seconds."""
    monkeypatch.setattr(server_pages, "SECONDS", 0.3)
    async with attacked(policy) as target:
        reader, writer = await target.open(start)

        async def trickle() -> None:
            while True:
                writer.write(b"x" if start else b"")
                await asyncio.sleep(0.05)

        trickling = asyncio.ensure_future(trickle())
        began = time.perf_counter()
        await heard_at_end(reader, writer)
        assert time.perf_counter() - began > 0.25
        trickling.cancel()


@binds("E-http", dialects=())
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 8192, b"431"),
        (b"GET /" + b"x" * 8192, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00", b"400"),
    ],
)
async def test_huge_heads(head: bytes, status: bytes, policy: str) -> None:
    """A head of more than 8 KiB, or with more than 128 headers, is answered and dropped."""
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(head))
        assert heard.startswith(b"HTTP/1.1 " + status)


@binds("E-http", dialects=())
async def test_many_connections(policy: str) -> None:
    """Connections without a request have a few places, in which newer ones push out others."""
    async with attacked(policy) as target:
        held = [await target.open() for _ in range(10 * MOST_CONNECTIONS)]
        ends = [asyncio.ensure_future(heard_at_end(*each)) for each in held]
        while sum(not each.done() for each in ends) > MOST_CONNECTIONS:
            await asyncio.sleep(0)
        await target.call()
        for _, writer in held:
            writer.close()
        await asyncio.gather(*ends)


@binds("E-http", dialects=())
async def test_a_client_that_does_not_read(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not read is given up, and holds no connection."""
    monkeypatch.setattr(server_pages, "SECONDS", 0.3)
    body = bytes(20_000_000)
    monkeypatch.setattr(
        server_pages.ServerPages, "_page", lambda self, path: server_pages.Page("text/plain", body)
    )
    async with attacked(policy) as target:
        reader, writer = await target.open(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not target.server._pages._arrived:
            await asyncio.sleep(0.01)
        reader._transport.pause_reading()
        while target.server._pages._arrived:
            await asyncio.sleep(0.01)
        writer.transport.abort()


@binds("E-http", dialects=())
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Host: evil.example"], b"421"),
        (["Host: localhost", "Origin: https://evil.example"], b"403"),
        (["Host: localhost", "Origin: null"], b"403"),
        (["Host: localhost", "Origin: http://localhost, https://evil.example"], b"403"),
    ],
)
async def test_pages_of_other_sites(headers: list[str], status: bytes, policy: str) -> None:
    """A page of another site connects to nothing, and reads nothing by another name."""
    async with attacked(policy) as target:
        head = request(*headers, line=f"GET {SOCKET_PATH} HTTP/1.1")
        heard = await heard_at_end(*await target.open(head))
        assert heard.startswith(b"HTTP/1.1 " + status)
        if status == b"421":
            for path in ("/metrics", "/admin", "/"):
                head = request(*headers, line=f"GET {path} HTTP/1.1", upgrade=False)
                heard = await heard_at_end(*await target.open(head))
                assert heard.startswith(b"HTTP/1.1 421 ") and b"pb_" not in heard


@binds("E-http", dialects=(), policies=("strict",))
async def test_names_of_a_peer_make_no_labels(policy: str) -> None:
    """Names of methods that no class has are one label, and no text of the page."""
    async with attacked(policy) as target:
        calls = [
            target._bystander.avatar.callRemote(f'odd{number}"}}\n', 1) for number in range(500)
        ]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, broker.NoSuchMethod | broker.Error) for each in found)
        heard = await heard_at_end(
            *await target.open(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        )
        assert b"odd" not in heard
        assert heard.count(b"\npb_calls_total{") <= 3
