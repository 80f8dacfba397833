"""Proxies for tests: pproxy, a real one, as a process; small ones that answer as a test says."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeAlias

__all__ = [
    "ESTABLISHED",
    "Answer",
    "connect_of",
    "free_port",
    "pproxy",
    "relay",
    "small_proxy",
    "socks4a",
    "socks5_saying",
]

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nVia: a test\r\n\r\n"

Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]
"""Handles a connection to a proxy; the connection is closed when it returns."""

# pproxy asks for the current loop, which the newest Pythons do not make by themselves.
_RUN = """
import asyncio, sys
sys.modules["uvloop"] = None
asyncio.set_event_loop(asyncio.new_event_loop())
from pproxy.server import main
main()
"""


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def pproxy(login: str = "") -> Iterator[int]:
    """Run pproxy, which speaks SOCKS 4, SOCKS 5 and HTTP CONNECT on one port; yield the port.

    Args:
        login: ``user:password`` that it asks for; empty for none.
    """
    port = free_port()
    url = f"http+socks4+socks5://127.0.0.1:{port}" + (f"#{login}" if login else "")
    # Else a client that has logged in once need not do it again.
    command = [sys.executable, "-u", "-W", "ignore", "-c", _RUN, "-l", url, "--auth", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Serving on"), line
            yield port
        finally:
            process.kill()


@asynccontextmanager
async def small_proxy(answer: Answer) -> AsyncIterator[int]:
    """Serve a proxy in this loop that handles each connection with ``answer``; yield its port."""
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        # The other end may close at any time, and so may the test.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        await _close(writer)
        running.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        # They end when their clients and servers do.
        await asyncio.gather(*running)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes to the end of the stream, and close the writer."""
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def connect_of(
    say: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]],
    asked: list[bytes] | None = None,
) -> Answer:
    """Return an HTTP proxy that connects, and then answers as ``say(server, client)`` does.

    Args:
        say: gets the reader of the server and the writer of the client.
        asked: gets the requests.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        from_server, to_server = await asyncio.open_connection(host.strip("[]"), int(port))
        await say(from_server, writer)
        await asyncio.gather(relay(reader, to_server), relay(from_server, writer))

    return answer


def socks4a(asked: list[bytes]) -> Answer:
    """Return a SOCKS 4a proxy, which keeps the requests."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(8)
        head += await reader.readuntil(b"\0")
        name = b""
        if head[4:7] == b"\0\0\0":
            name = await reader.readuntil(b"\0")
        asked.append(head + name)
        host = name[:-1].decode() or socket.inet_ntoa(head[4:8])
        port = int.from_bytes(head[2:4], "big")
        from_server, to_server = await asyncio.open_connection(host, port)
        writer.write(b"\0\x5a" + bytes(6))
        await asyncio.gather(relay(reader, to_server), relay(from_server, writer))

    return answer


def socks5_saying(*answers: bytes) -> Answer:
    """Return a proxy that answers each message of a client with the next of these bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await reader.read(1024)
            writer.write(each)
        await writer.drain()

    return answer
