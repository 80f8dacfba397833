"""Hostile proxies: a client reads a bounded answer, ends in one error, and logs nothing."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc

import pytest
from attacks.attacker import taming
from support.proxies import small_proxy

import broker
from broker.errors import ConnectError, ProtocolError
from broker.net.proxies.http_connect import MOST_HEAD

MB = 1_000_000
ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a status without end": (b"HTTP/1.1 200 ", b"x" * 65536),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 8192),
    "line ends without end": (b"HTTP/1.1 200 OK\r\n", b"\r" * 65536),
    "zeros without end": (b"", bytes(65536)),
    "a PB server": (b"\x02\x80\x02\x82pb\x04\x82none", b"\x00" * 65536),
}


class Flood:
    """A proxy that sends without end, until the client closes.

    Args:
        first: what it sends first.
        then: what it sends after that, again and again.
    """

    def __init__(self, first: bytes, then: bytes):
        self._first = first
        self._then = then

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client."""
        await reader.read(1)
        writer.write(self._first)
        while not writer.is_closing():
            writer.write(self._then)
            await writer.drain()


@pytest.mark.row("C9")
@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("kind", ["http", "socks5", "socks4"])
async def test_an_answer_without_end(
    kind: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused at once: at most 16 KiB are read, and little memory and time are used."""
    with taming(caplog) as lines:
        async with small_proxy(Flood(*ENDLESS[name])) as port:
            proxy = f"{kind}://127.0.0.1:{port}"
            gc.collect()
            tracemalloc.start()
            began = time.process_time()
            with pytest.raises(ConnectError) as caught:
                await broker.connect("pb://127.0.0.1:7", proxy=proxy)
            seconds = time.process_time() - began
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    # Most of the memory is that of the proxy, which is in this process too.
    assert most < MB
    assert seconds < 1
    assert len(str(caught.value)) < 200
    assert f"through 127.0.0.1:{port}" in str(caught.value)
    assert lines == []


@pytest.mark.row("C9")
@pytest.mark.parametrize("size", [1, MOST_HEAD])
async def test_many_small_pieces(size: int) -> None:
    """The largest answer, byte by byte, takes little time: none is looked at twice."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 502 No\r\nX: "
        head += b"x" * (MOST_HEAD - len(head) - 4) + b"\r\n\r\n"
        for start in range(0, len(head), size):
            writer.write(head[start : start + size])
            await asyncio.sleep(0)

    async with small_proxy(answer) as port:
        began = time.process_time()
        with pytest.raises(ConnectError, match="502 Bad Gateway"):
            await broker.connect("pb://127.0.0.1:7", proxy=f"http://127.0.0.1:{port}")
        assert time.process_time() - began < 5


@pytest.mark.row("C9")
async def test_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """Calls on another connection of the same loop are answered during the attack."""

    class Echo(broker.Root):
        def remote_echo(self, value: int) -> int:
            return value

    async with (
        broker.serve(Echo(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as bystander,
        small_proxy(Flood(*ENDLESS["headers without end"])) as port,
    ):
        for number in range(20):
            with pytest.raises(ConnectError):
                await broker.connect("pb://127.0.0.1:7", proxy=f"http://127.0.0.1:{port}")
            assert await bystander.root.callRemote("echo", number) == number


@pytest.mark.row("C9")
async def test_bytes_after_the_answer() -> None:
    """What a proxy adds to the bytes of the server is refused as if the server had sent it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"\x01" * 100)
        await reader.read()

    async with small_proxy(answer) as port:
        with pytest.raises(ProtocolError):
            await broker.connect("pb://127.0.0.1:7", proxy=f"http://127.0.0.1:{port}")
