"""Time limits and cancellation while a proxy is asked: every socket is closed, also in errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from support.proxies import Answer, free_port, small_proxy

import broker
from broker.errors import ConnectError, ConnectionRefusedError, DNSLookupError
from broker.transport_errors import TimeoutError

KINDS = ["http", "socks5", "socks4", "socks4a"]


def silent(closed: asyncio.Event, asked: asyncio.Event) -> Answer:
    """A proxy that reads and never answers; it tells what happens."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        with suppress(ConnectionError):
            await reader.read()
        closed.set()

    return answer


@pytest.mark.parametrize("kind", KINDS)
async def test_timeout(kind: str, each_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The timeout of ``connect`` includes the answer of the proxy."""
    closed, asked = asyncio.Event(), asyncio.Event()
    async with small_proxy(silent(closed, asked)) as port:
        proxy = f"{kind}://127.0.0.1:{port}"
        with pytest.raises(TimeoutError) as caught:
            await broker.connect("pb://127.0.0.1:7", proxy=proxy, timeout=0.1)
        await closed.wait()
    assert str(caught.value) == (
        f"no connection to 127.0.0.1:7 through 127.0.0.1:{port} in 0.1 s (proxy's answer)"
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelled(kind: str, each_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A cancelled attempt closes its socket."""
    closed, asked = asyncio.Event(), asyncio.Event()
    async with small_proxy(silent(closed, asked)) as port:
        connecting = broker.connect("pb://127.0.0.1:7", proxy=f"{kind}://127.0.0.1:{port}")

        async def attempt() -> None:
            await connecting

        task = asyncio.create_task(attempt())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_reset(kind: str) -> None:
    """A proxy that resets the connection has closed it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with small_proxy(answer) as port:
        with pytest.raises(ConnectError, match="the proxy closed the connection"):
            await broker.connect("pb://127.0.0.1:7", proxy=f"{kind}://127.0.0.1:{port}")


@pytest.mark.parametrize("kind", KINDS)
async def test_no_proxy_there(kind: str) -> None:
    """If nothing listens at the address of the proxy, the error says that it is the proxy's."""
    port = free_port()
    with pytest.raises(ConnectionRefusedError) as caught:
        await broker.connect("pb://127.0.0.1:7", proxy=f"{kind}://127.0.0.1:{port}")
    assert str(caught.value) == (
        f"connection refused by the proxy 127.0.0.1:{port}: is the server running?"
    )


async def test_a_name_that_does_not_resolve() -> None:
    """The name of the proxy is looked up here; the error names it."""
    with pytest.raises(DNSLookupError, match=r"proxy.invalid"):
        await broker.connect("pbs://b.example", proxy="http://proxy.invalid:9")


async def test_an_endless_drip() -> None:
    """A proxy that sends a byte from time to time does not lengthen the timeout."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with small_proxy(answer) as port:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            proxy = f"http://127.0.0.1:{port}"
            await broker.connect("pb://127.0.0.1:7", proxy=proxy, timeout=0.3)
        assert time.monotonic() - began < 5
