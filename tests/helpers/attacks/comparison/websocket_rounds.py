"""Attacks on a WebSocket port by raw sockets: frames, floods, heads, origins, two requests."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from support.web_ends import CONT, PING, PONG, TEXT, frame, request

from attacks.comparison.duel import Arena, End
from attacks.comparison.processes import PATIENCE
from attacks.comparison.rounds import PB, WAIT, Round

__all__ = ["SMUGGLED", "WEBSOCKET_ROUNDS", "WRONG_FRAMES"]

MB = 1_000_000
KNOCKS = 2_000
"""How many connections are refused in a row."""

WRONG_FRAMES = {
    "no mask": (frame(b"hello", masked=False), 1002),
    "reserved bit": (frame(b"hello", bits=0x40), 1002),
    "unknown opcode": (frame(b"hello", 11), 1002),
    "text": (frame(b"hello", TEXT), 1003),
    "huge": (frame(b"", length=(1 << 63) - 1), 1009),
    "a byte too long": (frame(b"", length=65537), 1009),
    "huge ping": (frame(bytes(200), PING), 1002),
    "too long in fragments": (
        frame(b"", fin=False) + frame(b"", CONT, fin=False, length=65537),
        1009,
    ),
    "continuation of nothing": (frame(b"", CONT), 1002),
    "message in a message": (frame(bytes(2000), fin=False) * 2, 1002),
    "compressed": (frame(b"\xaa\x00", bits=0x40), 1002),
}
"""Bytes behind an upgrade, and the code of the Close that answers them."""

SMUGGLED = {
    "behind a page": b"GET /health HTTP/1.1\r\n\r\n" + request(),
    "behind a length": request("Content-Length: 30", upgrade=False)[:-2] + request(),
    "chunked": request("Transfer-Encoding: chunked", upgrade=False) + b"0\r\n\r\n" + request(),
    "two lengths": request("Content-Length: 0", "Content-Length: 9", upgrade=False) + request(),
    "behind a refusal": request(line="GET /other HTTP/1.1") + request(),
    "frames behind an upgrade": request() + frame(b"hello"),
    "a request behind an upgrade": request() + b"GET /health HTTP/1.1\r\n\r\n",
    "bare line feeds": request().replace(b"\r\nUpgrade", b"\nUpgrade"),
    "folded": request("X: y\r\n Upgrade: websocket"),
}
"""Bytes in which another server may see two requests."""


class Knocker:
    """A connection to the WebSocket port that has sent some bytes."""

    def __init__(self, arena: Arena, first: bytes, source: str = "127.0.0.1"):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", arena.server.ports["ws"]))
        self.socket.sendall(first)

    def rest(self) -> bytes:
        """Read until the server closes, and close; raises TimeoutError."""
        heard = b""
        with suppress(ConnectionError):
            while data := self.socket.recv(65_536):
                heard += data
        self.socket.close()
        return heard

    def is_open(self) -> bool:
        """Return whether the server has not closed, and close."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65_536):
                pass
        except BlockingIOError:
            return True
        except OSError:
            pass
        finally:
            self.socket.close()
        return False

    def pour(self, data: bytes, times: int) -> bool:
        """Send bytes again and again; return whether the server has closed before the end."""
        try:
            for _ in range(times):
                self.socket.sendall(data)
            self.socket.settimeout(1.0)
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        finally:
            self.socket.close()
        return True


def upgraded(arena: Arena) -> Knocker:
    """Open a WebSocket."""
    knocker = Knocker(arena, request())
    head = b""
    while b"\r\n\r\n" not in head:
        head += knocker.socket.recv(4096)
    return knocker


def wrong_frames(arena: Arena) -> End:
    """Each wrong frame, 20 times."""
    taken = set()
    for name, (data, code) in WRONG_FRAMES.items():
        for _ in range(20):
            knocker = upgraded(arena)
            knocker.socket.sendall(data)
            heard = knocker.rest()
            at = heard.rfind(b"\x88")
            if heard[at + 2 : at + 4] != code.to_bytes(2, "big"):
                taken.add(name)
    return End(f"{len(WRONG_FRAMES)} kinds refused", ", ".join(sorted(taken)))


def flood(data: bytes, times: int, first: bytes = b"") -> Callable[[Arena], End]:
    """Frames without end behind an upgrade."""

    def attack(arena: Arena) -> End:
        knocker = upgraded(arena)
        knocker.socket.sendall(first)
        return ended(knocker.pour(data, times))

    return attack


def ended(has_closed: bool) -> End:
    """The end of a flood."""
    return End("closed") if has_closed else End("taken", "the server takes a flood")


def one_by_one(arena: Arena) -> End:
    """20,000 calls in messages of one byte."""
    knocker = upgraded(arena)
    speaker = arena.speaker
    data = speaker.greeting + b"".join(speaker.call(1, number=n) for n in range(1, 20_001))
    for at in range(0, len(data), 2_000):
        knocker.socket.sendall(b"".join(frame(data[i : i + 1]) for i in range(at, at + 2_000)))
    knocker.socket.close()
    return End("taken")


def slow_heads(arena: Arena) -> End:
    """200 connections from 20 sources whose heads come a byte a second."""
    knockers = [Knocker(arena, request()[:40], f"127.0.1.{n % 20 + 1}") for n in range(200)]
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        time.sleep(1)
        for knocker in knockers:
            with suppress(OSError):
                knocker.socket.send(b"x")
    left = sum(knocker.is_open() for knocker in knockers)
    return End(f"{left} of {len(knockers)} open", "heads are awaited for ever" if left else "")


def huge_heads(arena: Arena) -> End:
    """50 heads without end: one line, and many."""
    return ended(
        all(
            Knocker(arena, start).pour(part, 100)
            for start, part in (
                (b"GET /", b"x" * 65_536),
                (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 10_000),
            )
            for _ in range(25)
        )
    )


def refused(first: Callable[[int], bytes], status: str) -> Callable[[Arena], End]:
    """Requests that are refused, one after the other."""

    def attack(arena: Arena) -> End:
        expected = f"HTTP/1.1 {status} ".encode()
        taken = sum(
            not Knocker(arena, first(number)).rest().startswith(expected)
            for number in range(KNOCKS)
        )
        fault = f"{taken} are not refused" if taken else ""
        return End(f"{KNOCKS:,} refused with {status}", fault)

    return attack


def foreign(number: int) -> bytes:
    """An upgrade for a page of another site."""
    return request("Host: 127.0.0.1", f"Origin: https://evil{number}.example")


def coloured(number: int) -> bytes:
    """The same with colours for the log in its name."""
    return request("Host: 127.0.0.1", f"Origin: https://\x1b[31mevil{number}.example")


def smuggled(arena: Arena) -> End:
    """Two requests in one connection, in ways that proxies have been fooled by."""
    taken = [
        name
        for name, data in SMUGGLED.items()
        for heard in [Knocker(arena, data).rest()]
        if heard.count(b"HTTP/1.1 ") != 1 or heard.startswith(b"HTTP/1.1 101")
    ]
    return End(f"{len(SMUGGLED)} ways, one answer each", ", ".join(taken))


LONG = frame(bytes(125), PING)
ATTACKS: list[tuple[str, str, Callable[[Arena], End]]] = [
    ("W1", "wrong frames: masks, bits, codes, lengths, fragments", wrong_frames),
    ("W2", "fragments of a byte without end",
     flood(frame(b"x", CONT, fin=False) * 10_000, 100, frame(b"x", fin=False))),
    ("W2", "64 MB in fragments of 60 kB",
     flood(frame(bytes(60_000), CONT, fin=False), 1_100, frame(b"x", fin=False))),
    ("W2", "messages of one byte", one_by_one),
    ("W3", "a frame of 8 EiB, and 64 MB of it",
     flood(os.urandom(65_536), 1_000, frame(b"", length=(1 << 63) - 1))),
    ("W4", "a million pings", flood(frame(b"", PING) * 10_000, 100)),
    ("W4", "a million pings of 125 bytes", flood(LONG * 10_000, 100)),
    ("W4", "a million pongs", flood(frame(b"", PONG) * 10_000, 100)),
    ("W4", "a million empty messages", flood(frame(b"") * 10_000, 100)),
    ("W5", "200 heads that come a byte a second", slow_heads),
    ("W5", "50 heads without end", huge_heads),
    ("W6", "2,000 pages of other sites", refused(foreign, "403")),
    ("W6", "2,000 pages of other sites, with colours in their names", refused(coloured, "400")),
    ("W6", "2,000 requests that are not HTTP", refused(lambda n: b"\xff\x00\r\n\r\n", "400")),
    ("W7", "smuggled requests", smuggled),
]  # fmt: skip

WEBSOCKET_ROUNDS = [
    Round(row, name, attack, PB, "root,ws", has_twisted=False, memory=4 * MB, log=60_000,
          waits=attack is slow_heads)
    for row, name, attack in ATTACKS
]  # fmt: skip
