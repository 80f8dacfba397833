"""WebSocket: what strangers send to the port, while another client goes on calling."""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from attacks.attacker import POLICIES, binds
from attacks.comparison.websocket_rounds import SMUGGLED, WRONG_FRAMES
from support.web_ends import CONT, PING, PONG, frame, heard_at_end, request

import broker
import cred
from broker.net.schemes import WebPlace, parse_address

ORIGIN = "https://broker.example"


class Avatar(broker.Avatar):
    """Answers."""

    def perspective_echo(self, value: Any) -> Any:
        """Return what came."""
        return value


def portal() -> cred.Portal:
    """A portal with one user."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    return cred.Portal(broker.realm(lambda avatar_id, mind: Avatar()), [users])


class Attacked:
    """A server with a login, and a client of it that calls all the time.

    Attributes:
        server: the server.
        slowest: seconds of the slowest call of the client.
    """

    def __init__(self, server: broker.Server, bystander: broker.Connection):
        self.server = server
        self.slowest = 0.0
        self._bystander = bystander

    async def open(self, data: bytes = b"") -> tuple[Any, Any]:
        """Connect, and send bytes."""
        place = parse_address(self.server.addresses[0])
        assert isinstance(place, WebPlace)
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(data)
        return reader, writer

    async def upgraded(self) -> tuple[Any, Any]:
        """Connect, and open a WebSocket."""
        reader, writer = await self.open(request())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return reader, writer

    async def call(self) -> None:
        """Let the client call once."""
        began = time.perf_counter()
        await self._bystander.avatar.callRemote("echo", 1)
        self.slowest = max(self.slowest, time.perf_counter() - began)


@asynccontextmanager
async def attacked(policy: str, **changes: Any) -> AsyncIterator[Attacked]:
    """Serve, and log the client in; at the end it can still call."""
    chosen = POLICIES[policy].but(**changes)
    async with (
        broker.serve(portal(), "ws://127.0.0.1:0/pb", policy=chosen, origins=[ORIGIN]) as server,
        broker.connect(
            server.addresses[0], cred.UsernamePassword("alice", "secret"), policy=chosen
        ) as bystander,
    ):
        made = Attacked(server, bystander)
        await made.call()
        before = psutil.Process().num_fds()
        yield made
        await made.call()
        # The attacker holds nothing any more.
        while len(server.connections) > 1 or server._acceptor.waiting:
            await asyncio.sleep(0.01)
        while psutil.Process().num_fds() > before:
            await asyncio.sleep(0.01)


def codes(heard: bytes) -> list[int]:
    """The codes of the Close frames at the end of what a server has sent."""
    at = heard.rfind(b"\x88")
    return [] if at < 0 else [int.from_bytes(heard[at + 2 : at + 4], "big")]


@binds("E-frames", dialects=())
@pytest.mark.parametrize("name", WRONG_FRAMES)
async def test_frames(name: str, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong frame ends its connection with a code and one line; the bystander goes on."""
    data, code = WRONG_FRAMES[name]
    async with attacked(policy) as target:
        reader, writer = await target.upgraded()
        writer.write(data)
        assert codes(await heard_at_end(reader, writer)) == [code]
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1 and len(warnings[0].getMessage()) <= 400


FLOODS = {
    "pings": frame(b"", PING),
    "long pings": frame(bytes(125), PING),
    "pongs": frame(b"", PONG),
    "empty messages": frame(b""),
    "fragments": frame(b"x", CONT, fin=False),
}


@binds("E-floods", dialects=())
@pytest.mark.parametrize("name", FLOODS)
async def test_floods(name: str, policy: str) -> None:
    """A flood of small frames ends with 1008 after a few, and costs less than 0.2 s in all."""
    start = frame(bytes(2000), fin=False) if name == "fragments" else b""
    async with attacked(policy) as target:
        reader, writer = await target.upgraded()
        before = resource.getrusage(resource.RUSAGE_SELF)
        writer.write(start + FLOODS[name] * 20_000)
        heard = await heard_at_end(reader, writer)
        await target.call()
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert heard.endswith(b"too many small frames")
        assert heard.count(b"\x8a") <= 100
        assert after.ru_utime - before.ru_utime < 0.2


@binds("E-floods", dialects=())
async def test_bytes_one_by_one(policy: str) -> None:
    """Messages of a byte cost no more than their time: others are served between."""
    async with attacked(policy) as target:
        reader, writer = await target.upgraded()
        writer.write(frame(b"\x00") * 30_000)
        for _ in range(20):
            await target.call()
        assert target.slowest < 1.0
        await heard_at_end(reader, writer)


@binds("E-heads", dialects=())
@pytest.mark.parametrize("start", [b"", b"G", request()[:-2], b"GET / HTTP/1.1\r\nX: "])
async def test_slow_heads(start: bytes, policy: str) -> None:
    """A head that comes a byte at a time is given up after ``handshake_timeout``."""
    async with attacked(policy, handshake_timeout=0.3) as target:
        reader, writer = await target.open(start)

        async def trickle() -> None:
            while True:
                writer.write(b"x" if start else b"")
                await asyncio.sleep(0.05)

        trickling = asyncio.ensure_future(trickle())
        began = time.perf_counter()
        await heard_at_end(reader, writer)
        assert 0.25 < time.perf_counter() - began < 5
        trickling.cancel()


@binds("E-heads", dialects=())
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, b"431"),
        (b"GET /" + b"x" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"400"),
    ],
)
async def test_huge_heads(head: bytes, status: bytes, policy: str) -> None:
    """A head of more than 16 KiB, or with more than 128 headers, is answered and dropped."""
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(head))
        assert heard.startswith(b"HTTP/1.1 " + status)


@binds("E-heads", dialects=())
async def test_many_heads_that_never_come(policy: str) -> None:
    """Connections without a request keep out those of their own source only, and only so many."""
    async with attacked(policy, max_waiting_each=4, handshake_timeout=30.0) as target:
        held = [await target.open(b"GET /") for _ in range(4)]
        while target.server._acceptor.waiting < 4:
            await asyncio.sleep(0.01)
        heard = await heard_at_end(*await target.open(b"GET /health HTTP/1.1\r\n\r\n"))
        assert heard == b""
        assert target.server.stats.limits["max_waiting_each"] == 1
        for _, writer in held:
            writer.close()
        while target.server._acceptor.waiting:
            await asyncio.sleep(0.01)


@binds("E-origins", dialects=())
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "https://broker.example.evil.example", "HTTPS://BROKER.EXAMPLE",
     "https://broker.example, https://evil.example", "https://broker.example\r\nOrigin: null"],
)  # fmt: skip
async def test_foreign_origins(origin: str, policy: str) -> None:
    """A page of another site is refused before anything is sent to it."""
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(request(f"Origin: {origin}")))
        assert heard.startswith(b"HTTP/1.1 403 ")
        assert b"pb" not in heard.partition(b"\r\n\r\n")[0]


@binds("E-smuggling", dialects=())
@pytest.mark.parametrize("name", SMUGGLED)
async def test_smuggled_requests(name: str, policy: str) -> None:
    """A connection has one request and one answer; what follows is never read as another."""
    async with attacked(policy) as target:
        heard = await heard_at_end(*await target.open(SMUGGLED[name]))
        assert heard.count(b"HTTP/1.1 ") == 1
        assert not heard.startswith(b"HTTP/1.1 101")
