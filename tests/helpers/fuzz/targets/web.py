"""HTTP heads, WebSocket frames and PROXY headers: pieces make no difference, and bounds hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from support.web_ends import (
    Admission,
    frame,
    joined,
    new_door,
    outcome,
    request,
    served,
    trusting,
)

from broker.net.filters import Route
from broker.net.proxy_protocol import ProxyHeaderFilter, WrongHeader, read_header
from broker.net.socket_addresses import IPv4Address, IPv6Address
from broker.net.websocket.door import MOST_HEAD
from broker.net.websocket.filter import PIECE
from fuzz.bending import bent, pieces
from fuzz.dice import Dice

__all__ = ["fuzz_frames", "fuzz_heads", "fuzz_proxy_headers"]

_PROXY = IPv4Address("TCP", "10.0.0.1", 9)
_DOORS = (
    new_door(),
    new_door(origins=frozenset({"https://a.example"}), host="0.0.0.0", path="/"),
    new_door(proxies=trusting("10.0.0.0/8")),
    new_door(proxies=trusting("10.0.0.0/8", header="Forwarded"), is_tls=True),
)
_LINES = (
    "GET /pb HTTP/1.1", "GET / HTTP/1.1", "HEAD /health HTTP/1.1", "POST /pb HTTP/1.1",
    "GET  /pb HTTP/1.1", "GET /pb HTTP/1.0", "GET /pb", "", "get / HTTP/1.1", "GET /\xff HTTP/1.1",
)  # fmt: skip
_HEADERS = (
    "Host: 127.0.0.1:8788", "Host: evil.example", "Origin: https://a.example", "Origin: null",
    "Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked", "Upgrade: h2c",
    "Connection: close", "X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: 6.6.6.6, 10.0.0.1",
    "X-Forwarded-Proto: https", 'Forwarded: for="[2001:db8::5]:1";proto=https', "Forwarded: for=",
    'Forwarded: for=1.1.1.1;by="\\', " folded", "no colon", "If-None-Match: *",
    "Expect: 100-continue",
)  # fmt: skip
_SIZES = (0, 1, 5, 125, 126, 200, 1023, 1024, 5000)
_PROXY_HEADERS = (
    b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8787\r\n",
    b"PROXY TCP6 2001:db8::5 2001:db8::1 4711 8787\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12),
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x27" + bytes(39),
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
)


def fuzz_heads(data: bytes) -> None:
    """Run one input: the head of a request."""
    dice = Dice(data)
    door = dice.pick(_DOORS)
    peer = dice.pick((_PROXY, IPv4Address("TCP", "192.0.2.7", 1)))
    headers = [dice.pick(_HEADERS) for _ in range(dice.below(5))]
    head = request(*headers, line=dice.pick(_LINES), upgrade=dice.once_in(2))
    if dice.once_in(16):
        head = head[:-2] + b"X: " + b"x" * dice.below(2 * MOST_HEAD) + b"\r\n\r\n"
    written = bent(dice, head)
    # What follows the head in the same piece is refused, in the next one it is not.
    written = written[: written.find(b"\r\n\r\n") + 4] if b"\r\n\r\n" in written else written
    whole = _answered(door, peer, [written])
    assert _answered(door, peer, pieces(dice, written)) == whole, "pieces make a difference"


def fuzz_frames(data: bytes) -> None:
    """Run one input: what comes after the handshake, at either end."""
    dice = Dice(data)
    is_server = dice.once_in(2)
    written = bent(dice, b"".join(_frame(dice, is_server) for _ in range(dice.below(12))))
    whole = _heard(is_server, [written])
    assert _heard(is_server, pieces(dice, written)) == whole, "pieces make a difference"


def fuzz_proxy_headers(data: bytes) -> None:
    """Run one input: the header in front of a connection."""
    dice = Dice(data)
    written = bent(dice, dice.pick(_PROXY_HEADERS)) + dice.octets(40)
    try:
        found = read_header(written)
    except WrongHeader:
        found = None
    assert found is None or 0 < found[0] <= len(written)
    whole = _named([written])
    assert _named(pieces(dice, written)) == whole, "pieces make a difference"
    assert not whole[0] or isinstance(whole[0][0].address, IPv4Address | IPv6Address)


def _answered(door: Any, peer: Any, chunks: Iterable[bytes]) -> tuple[Any, ...]:
    admission = Admission()
    end = served(door, admission, peer)
    data, failure, sent = outcome(end, chunks)
    assert len(end._rest or b"") < MOST_HEAD, "a head is kept that is too long"
    assert len(failure or "") <= 400, "an error that is too long for a log"
    assert data == b"", "data of a head"
    # The text of an answer may have parts of the request in it, without its line ends.
    assert sent.count(b"\r\n\r\n") <= 1, "two answers"
    assert end.is_open == (len(admission.routes) == 1), "a client that was let in by halves"
    # The header Date, and the random parts of none.
    return failure, re.sub(rb"Date: [^\r]*", b"", sent), admission.routes


def _frame(dice: Dice, is_server: bool) -> bytes:
    opcode = dice.pick((2, 2, 2, 0, 9, 10, 1, 8, 3))
    length = dice.pick((PIECE, PIECE + 1, 1 << 40)) if dice.once_in(32) else None
    return frame(
        bytes(dice.pick(_SIZES)),
        opcode,
        fin=not dice.once_in(4),
        masked=is_server != dice.once_in(16),
        bits=dice.pick((0x40, 0x10)) if dice.once_in(16) else 0,
        length=length,
    )


def _heard(is_server: bool, chunks: Iterable[bytes]) -> tuple[Any, ...]:
    client, server = joined()
    end: Any = server if is_server else client
    data, failure, sent = outcome(end, chunks)
    assert len(end._rest or b"") <= PIECE + 14, "more than a frame is kept"
    assert len(failure or "") <= 400, "an error that is too long for a log"
    # The frames of a client have random masks.
    return data, failure, end.peer_closed, sent if is_server else len(sent)


def _named(chunks: Iterable[bytes]) -> tuple[list[Route], bytes, str | None]:
    admission = Admission()
    end = ProxyHeaderFilter(trusting("10.0.0.0/8"), lambda address, cut: lambda: None)
    end.begin(_PROXY, admission)
    data = b""
    for chunk in chunks:
        try:
            data += end.receive(chunk)
        except end.error as error:
            return admission.routes, b"", str(error)
    return admission.routes, data, None
