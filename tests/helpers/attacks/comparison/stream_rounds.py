"""Attacks with streams, which only the dialect ``msgpack/1`` has as messages."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Raw

from attacks.attacker import Speaker
from attacks.comparison.duel import Arena, described, thrown
from attacks.comparison.rounds import Round, argument

__all__ = ["STREAM_ROUNDS"]

MSGPACK = ("msgpack/1",)
MOST = (1 << 31) - 1
MB = 1_000_000


def streams(*numbers: int) -> list[Any]:
    """A list of streams, as an argument."""
    return [b"list", *([b"stream", number] for number in numbers)]


def items(speaker: Speaker, stream: int, count: int) -> bytes:
    """Empty lists as items of a stream, in one message."""
    return speaker.message(
        b"items", stream, Raw(b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count)
    )


def credits_given(speaker: Speaker) -> bytes:
    """A stream of small items, and credit for it 300,000 times."""
    return speaker.call(name=b"small") + speaker.message(b"credit", 1, 1, 1) * 300_000


def all_credit(arena: Arena) -> str:
    """Streams of the server with the most credit that there is, of which nothing is read."""
    client = arena.client()
    for number in range(1, 65):
        client.send(client.speaker.call(name=b"endless", number=number))
    given = [client.speaker.message(b"credit", number, MOST, MOST) for number in range(1, 65)]
    time.sleep(0.5)
    client.send(b"".join(given))
    time.sleep(3.0)
    client.close()
    return "closed by the attacker"


def unread_items(arena: Arena) -> str:
    """64 streams with all of their first credit, in items of one byte, that no method reads."""
    client = arena.client()
    client.send(client.speaker.call(streams(*range(1, 65)), name=b"sleep"))
    client.send(b"".join(items(client.speaker, number, 64) for number in range(1, 65)))
    time.sleep(1.0)
    end = described(client.fate(99))
    client.close()
    return end


def opened_and_stopped(speaker: Speaker) -> bytes:
    """20,000 calls, each of whose streams is stopped at once."""
    return b"".join(
        speaker.call(name=b"small", number=number) + speaker.message(b"cancel", number)
        for number in range(2, 20_002)
    )


STREAM_ROUNDS = [
    Round("B21", "300,000 credits for one stream", thrown(credits_given), MSGPACK,
          has_twisted=False),
    Round("B22", "64 streams with all the credit that there is, nothing read", all_credit, MSGPACK,
          has_twisted=False, memory=64 * MB),
    Round("B23", "64 streams with items that no method reads", unread_items, MSGPACK,
          has_twisted=False, memory=32 * MB),
    Round("B24", "100,000 streams in one call",
          thrown(argument(lambda: streams(*range(1, 100_001)), name=b"sleep")), MSGPACK,
          has_twisted=False),
    Round("B25", "a stop for a stream that was never opened",
          thrown(lambda s: s.message(b"stop", 77)), MSGPACK, has_twisted=False),
    Round("B26", "more items than the credit allows",
          thrown(lambda s: s.call(streams(1), name=b"sleep")
                 + items(s, 1, 300)), MSGPACK, has_twisted=False),
    Round("B27", "20,000 calls for a stream, each cancelled at once", thrown(opened_and_stopped),
          MSGPACK, has_twisted=False),
]  # fmt: skip
