"""HTTP CONNECT: one request to a proxy, after which the connection is that of the server.

A server of Perspective Broker speaks first. So the first bytes of the server may arrive together
with the answer of the proxy, and must stay in the socket for the transport. Only the answer is
taken out of the socket: the code waits for one byte, looks at what has arrived with it
(``MSG_PEEK``), and takes that up to the end of the answer.
"""

from __future__ import annotations

import asyncio
import re
import socket
from binascii import b2a_base64

from broker.net.proxies.refusal import ENDED, Refusal
from broker.net.proxies.settings import Proxy
from broker.net.socket_addresses import host_port

__all__ = ["MOST_HEAD", "request_http"]

MOST_HEAD = 16 * 1024
"""The most bytes of the answer of a proxy: its status line and its header."""

_START = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
# An empty line ends the answer. Some proxies end lines without CR.
_END = re.compile(rb"\n\r?\n")


async def request_http(proxy: Proxy, sock: socket.socket, host: str, port: int) -> None:
    """Ask an HTTP proxy to connect a socket to a server.

    Args:
        proxy: its settings.
        sock: connected to the proxy; it does not block.
        host, port: the server; the host is in ASCII.

    Raises:
        Refusal: the proxy does not connect, or does not speak HTTP.
        OSError: the connection to the proxy broke.
    """
    await asyncio.get_running_loop().sock_sendall(sock, _request(proxy, host, port))
    head = await _read_head(sock)
    status = _STATUS.match(head)
    if status is None:
        raise Refusal("the proxy does not answer in HTTP/1.1")
    if not 200 <= int(status[1]) < 300:
        raise Refusal(_in_words(int(status[1]), proxy))


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    where = host_port(host, port)
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.user is not None:
        login = f"{proxy.user}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {b2a_base64(login, newline=False).decode()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


async def _read_head(sock: socket.socket) -> bytes:
    """Read the answer up to its empty line, and not a byte more."""
    loop = asyncio.get_running_loop()
    head = bytearray()
    while True:
        byte = await loop.sock_recv(sock, 1)
        if not byte:
            raise Refusal(ENDED)
        head += byte
        try:
            arrived = sock.recv(MOST_HEAD - len(head), socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            arrived = b""
        # The last bytes that are here already may begin the end.
        start = max(len(head) - 3, 0)
        end = _END.search(head + arrived, start)
        most = len(head) + len(arrived) if end is None else end.end()
        if most > len(head):
            head += sock.recv(most - len(head))
        if not head.startswith(_START[: len(head)]):
            raise Refusal("the proxy does not answer in HTTP/1.1")
        if end is not None:
            return bytes(head)
        if len(head) >= MOST_HEAD:
            raise Refusal(f"the proxy's answer has more than {MOST_HEAD} bytes")


def _in_words(status: int, proxy: Proxy) -> str:
    # Imported only when needed: it takes time to load.
    from http import HTTPStatus

    try:
        # The proxy's own phrase could be any text.
        told = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        told = str(status)
    hint = ""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        hint = "; it needs a user and a password" if proxy.user is None else "; wrong password?"
    return f"the proxy refused: {told}{hint}"
