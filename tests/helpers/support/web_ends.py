"""The two ends of a WebSocket in memory, the bytes of frames, and what a server has sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from broker.errors import ConnectionLost
from broker.net.filters import Route
from broker.net.forwarded import TrustedProxies, trusted_proxies
from broker.net.locations import WebPlace
from broker.net.socket_addresses import IPv4Address
from broker.net.websocket.client import ClientFilter
from broker.net.websocket.door import Door
from broker.net.websocket.filter import PingLimit
from broker.net.websocket.server import ServerFilter

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PEER",
    "PING",
    "PLACE",
    "PONG",
    "TEXT",
    "Admission",
    "frame",
    "heard_at_end",
    "joined",
    "new_door",
    "outcome",
    "request",
    "served",
    "trusting",
]

PEER = IPv4Address("TCP", "192.0.2.7", 5000)
PLACE = WebPlace("127.0.0.1", 8788, "/pb", False)
BINARY, TEXT, CONT, CLOSE, PING, PONG = 2, 1, 0, 8, 9, 10


class Admission:
    """What a connection says to its filter, and what it was told.

    Attributes:
        routes: those who were admitted, or asked to be.
        is_cut: the connection was ended.
        ended: the error for which the filter has ended it later; None before.
    """

    def __init__(self, *, is_full: bool = False):
        self.routes: list[Route] = []
        self.is_full = is_full
        self.is_cut = False
        self.ended: Exception | None = None

    def admit(self, route: Route) -> bool:
        """Let the client in, unless the server is full."""
        self.routes.append(route)
        return not self.is_full

    def cut(self) -> None:
        """Note it."""
        self.is_cut = True

    def end(self, failed: object, error: Exception) -> None:
        """Note it."""
        self.ended = error


def new_door(**changes: Any) -> Door:
    """Return the door of a listener; each setting can be replaced."""
    settings: dict[str, Any] = {
        "path": "/pb",
        "host": "127.0.0.1",
        "is_tls": False,
        "origins": frozenset[str](),
        "proxies": None,
        "arrive": lambda address, cut: lambda: None,
        "state": lambda: "ready",
        "pings": PingLimit(40, 20.0, lambda: 0.0),
    }
    return Door(**(settings | changes))


def served(door: Door | None = None, admission: Any = None, peer: Any = PEER) -> ServerFilter:
    """Return the server's end of a new connection."""
    made = ServerFilter(new_door() if door is None else door)
    made.begin(peer, Admission() if admission is None else admission)
    return made


def joined(now: Callable[[], float] = lambda: 0.0) -> tuple[ClientFilter, ServerFilter]:
    """Return both ends of an open WebSocket."""
    pings = PingLimit(40, 20.0, now)
    client, server = ClientFilter(PLACE, pings), served(new_door(pings=pings))
    assert server.receive(client.data_to_send()) == b""
    assert client.receive(server.data_to_send()) == b""
    assert client.is_open and server.is_open
    return client, server


def request(*headers: str, line: str = "GET /pb HTTP/1.1", upgrade: bool = True) -> bytes:
    """Return the head of a request; ``headers`` come before those of a WebSocket."""
    lines = [line, *(headers or ("Host: 127.0.0.1:8788",))]
    if upgrade:
        lines += [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: pb",
        ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(
    data: bytes = b"",
    opcode: int = BINARY,
    *,
    fin: bool = True,
    masked: bool = True,
    bits: int = 0,
    length: int | None = None,
) -> bytes:
    """Return a frame as a client sends it, or a wrong one.

    Args:
        data: its bytes.
        opcode: 2 is binary.
        fin: whether it is the last of its message.
        masked: whether it has a mask.
        bits: the reserved bits.
        length: the length that it says; default the real one.
    """
    size = len(data) if length is None else length
    code = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | bits | opcode])
    if size < 126:
        head += bytes([code | size])
    elif size < 65536:
        head += bytes([code | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([code | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def outcome(end: Any, pieces: Iterable[bytes]) -> tuple[bytes, str | None, bytes]:
    """Give pieces to an end; return the data, the text of the failure, and what it sends."""
    data, failure = b"", None
    for piece in pieces:
        try:
            data += end.receive(piece)
        except ConnectionLost as error:
            failure = str(error)
            break
        if end.failure is not None:
            failure = str(end.failure)
            break
        if end.peer_closed:
            break
    return data, failure, end.data_to_send()


def trusting(*networks: str, header: str = "X-Forwarded-For") -> TrustedProxies:
    """Return trusted proxies."""
    made = trusted_proxies(networks, header)
    assert made is not None
    return made


async def heard_at_end(reader: Any, writer: Any) -> bytes:
    """Wait until a server has closed a connection; return what it has sent."""
    heard = b""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            heard += data
    writer.close()
    return heard
