"""Attacks with calls that run at most once, which only ``msgpack/1`` has."""

from __future__ import annotations

from typing import Any

import msgspec

from attacks.attacker import Speaker
from attacks.comparison.duel import Arena, described, thrown
from attacks.comparison.rounds import Round

__all__ = ["ONCE_ROUNDS"]

MSGPACK = ("msgpack/1",)
LAST = (1 << 63) - 1
MB = 1_000_000


def keyed(number: int, key: str, name: str, *args: Any) -> bytes:
    """A call with a key."""
    frame = (1, number, "root", name, args, {}, None, {"once": key})
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(4, "big") + body


def key(number: int, settled: int = 0, nonce: int = 0) -> str:
    """A key."""
    return f"{nonce:022}.{number}.{settled}"


def many_keys(speaker: Speaker) -> bytes:
    """20,000 calls, none of which is acknowledged."""
    return b"".join(keyed(n, key(n), "echo", "x" * 100) for n in range(1, 20_001))


def many_nonces(speaker: Speaker) -> bytes:
    """20,000 calls, each of a client of its own."""
    return b"".join(keyed(n, key(1, nonce=n), "echo", "x" * 100) for n in range(1, 20_001))


def large_replies(speaker: Speaker) -> bytes:
    """500 replies that are as large as is kept."""
    return b"".join(keyed(n, key(n), "echo", "x" * 65_000) for n in range(1, 501))


def huge_numbers(speaker: Speaker) -> bytes:
    """1,000 running calls, and 5,000 acknowledgements that jump."""
    running = b"".join(keyed(n, key(n), "sleep", 1) for n in range(1, 1001))
    step = LAST // 6000
    return running + b"".join(
        keyed(2000 + n, key(LAST, n * step), "echo", 1) for n in range(1, 5001)
    )


def connections_cut(arena: Arena) -> str:
    """30 connections, each of which is cut with 500 running calls that have keys."""
    for turn in range(30):
        client = arena.client()
        first = 1 + turn * 500
        client.send(
            b"".join(keyed(n, key(first + n, first + n - 1), "sleep", 1) for n in range(1, 501))
        )
        end = described(client.fate(500))
        client.close()
    return end


ONCE_ROUNDS = [
    Round("B28", "20,000 keys", thrown(many_keys), MSGPACK, has_twisted=False, memory=16 * MB),
    Round("B28", "20,000 nonces", thrown(many_nonces), MSGPACK, has_twisted=False,
          memory=16 * MB),
    Round("B29", "500 replies of 65,000 bytes", thrown(large_replies), MSGPACK, has_twisted=False,
          memory=64 * MB),
    Round("B30", "1,000 running calls with keys, and acknowledgements that jump",
          thrown(huge_numbers), MSGPACK, has_twisted=False, memory=32 * MB),
    Round("B31", "30 connections cut with 500 running calls each, all with keys", connections_cut,
          MSGPACK, has_twisted=False, memory=32 * MB),
]  # fmt: skip
