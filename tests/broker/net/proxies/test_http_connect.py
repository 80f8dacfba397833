"""HTTP CONNECT: the request, the end of the answer to the byte, and answers that are refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from broker.net.proxies.http_connect import MOST_HEAD, request_http
from broker.net.proxies.refusal import Refusal
from broker.net.proxies.settings import Proxy

PLAIN = Proxy("http", "127.0.0.1", 9)
REST = b"the first bytes of the server"


async def asked(
    answer: bytes, *, step: int | None = None, proxy: Proxy = PLAIN, host: str = "h.example"
) -> tuple[bytes, bytes]:
    """Give an answer, a few bytes at a time; return the request, and what the answer leaves."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(request_http(proxy, here, host, 8787))
        request = await loop.sock_recv(there, 65536)
        step = step or len(answer) or 1
        for start in range(0, len(answer), step):
            if task.done():
                break
            await loop.sock_sendall(there, answer[start : start + step])
            # Let the other end read it.
            await asyncio.sleep(0)
        there.shutdown(socket.SHUT_WR)
        await task
        left = b""
        while piece := await loop.sock_recv(here, 65536):
            left += piece
        return request, left


ANSWERS = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 Connection established\r\nVia: a\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 204 \r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\nVia: a\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MOST_HEAD - 24) + b"\r\n\r\n",
]


@pytest.mark.parametrize("step", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[:40])
async def test_the_rest_is_left(
    answer: bytes, step: int | None, each_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Exactly the bytes after the empty line stay in the socket, however they arrive."""
    request, left = await asked(answer, step=step)
    assert request == b"CONNECT h.example:8787 HTTP/1.1\r\nHost: h.example:8787\r\n\r\n"
    assert left == b""
    if step is None:
        assert (await asked(answer + REST))[1] == REST
        assert (await asked(answer + b"\n\r\n" + REST))[1] == b"\n\r\n" + REST


async def test_a_login() -> None:
    """User and password are in the request, in UTF-8; an IPv6 address has brackets."""
    proxy = Proxy("http", "127.0.0.1", 9, "me", "s:é")
    request, _ = await asked(ANSWERS[0], proxy=proxy, host="::1")
    assert request.splitlines() == [
        b"CONNECT [::1]:8787 HTTP/1.1",
        b"Host: [::1]:8787",
        b"Proxy-Authorization: Basic bWU6czrDqQ==",
        b"",
    ]


REFUSED = [
    (b"HTTP/1.1 502 \x1b[2J evil\r\n\r\n", "the proxy refused: 502 Bad Gateway"),
    (b"HTTP/1.1 301 Moved\r\nLocation: http://x\r\n\r\n", "the proxy refused: 301 Moved Perm"),
    (b"HTTP/1.1 599 Odd\r\n\r\n", "the proxy refused: 599"),
    (b"HTTP/1.1 407 No\r\n\r\n", "407 Proxy Authentication Required; it needs a user and a pass"),
    (b"", "the proxy closed the connection"),
    (b"HTTP/1.1 200 OK\r\n", "the proxy closed the connection"),
    (b"\x05\x00\r\n\r\n", "the proxy does not answer in HTTP/1.1"),
    (b"\x02\x80\x02\x82pb\x04\x82none", "the proxy does not answer in HTTP/1.1"),
    (b"HTTP/2 200\r\n\r\n", "the proxy does not answer in HTTP/1.1"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "the proxy does not answer in HTTP/1.1"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", "the proxy does not answer in HTTP/1.1"),
    (b"HTTP/1.1  200\r\n\r\n", "the proxy does not answer in HTTP/1.1"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000, "has more than 16384 bytes"),
    (b"HTTP/1.1 200 " + b"y" * 20000, "has more than 16384 bytes"),
]


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("answer", "text"), REFUSED, ids=lambda each: each[:30])
async def test_refused(answer: bytes, text: str, step: int | None) -> None:
    """Any other answer is refused in words that quote nothing of it."""
    with pytest.raises(Refusal) as caught:
        await asked(answer, step=step)
    assert text in caught.value.why


async def test_a_wrong_password() -> None:
    """A proxy that has been given a password refuses that one."""
    proxy = Proxy("http", "127.0.0.1", 9, "me", "secret")
    with pytest.raises(Refusal) as caught:
        await asked(b"HTTP/1.1 407 No\r\n\r\n", proxy=proxy)
    assert caught.value.why == (
        "the proxy refused: 407 Proxy Authentication Required; wrong password?"
    )
