"""Attacks with followed objects: by a follower, and by the owner of a table."""

from __future__ import annotations

import time
from typing import Any

from attacks.attacker import NOTHING, Speaker
from attacks.comparison.client_rounds import Lure
from attacks.comparison.duel import Arena
from attacks.comparison.peers_raw import FakeServer
from attacks.comparison.rounds import Round

__all__ = ["FOLLOWED_ROUNDS"]

MB = 1_000_000
CACHE = 5
"""The number of the attacker's table."""


def unread_changes(arena: Arena) -> str:
    """16 connections that follow one table, and do not read its changes."""
    clients = [arena.client() for _ in range(16)]
    for client in clients:
        client.send(client.speaker.call(name=b"table"))
    time.sleep(3.0)
    for client in clients:
        client.close()
    return "closed by the attacker"


def text(value: bytes) -> list[Any]:
    """The expression of a text."""
    return [b"unicode", value]


def a_table() -> list[Any]:
    """The expression of a table with one item."""
    state = {
        b"epoch": text(b"0123456789abcdef"),
        b"offset": 1,
        b"items": [b"list", [b"list", text(b"a"), 1]],
        b"is_whole": [b"boolean", b"true"],
    }
    pairs = ([text(name), value] for name, value in state.items())
    return [b"broker.Table", CACHE, [b"dictionary", *pairs]]


def change(speaker: Speaker, items: list[Any], gone: list[Any], offset: int) -> bytes:
    """A change of the table."""
    args = [b"tuple", [b"list", *items], [b"list", *gone], offset]
    return speaker.message(b"cachemessage", 0, CACHE, b"changed", 0, args, NOTHING)


def answered(server: FakeServer, call: Any, changes: bytes) -> bytes:
    """A table as the answer, and changes of it."""
    return server.speaker.message(b"answer", call.request_id, a_table()) + changes


def wrong_changes(server: FakeServer, call: Any) -> bytes:
    """3,000 changes that are not valid."""
    return answered(server, call, change(server.speaker, [[b"list", 1]], [], 2) * 3_000)


def removed_keys(server: FakeServer, call: Any) -> bytes:
    """A change that removes 100,000 keys that are not there."""
    return answered(server, call, change(server.speaker, [], list(range(100_000)), 2))


def large_changes(server: FakeServer, call: Any) -> bytes:
    """700 changes of 60,000 bytes, for a table that the client does not keep."""
    changes = (
        change(server.speaker, [[b"list", text(b"k%d" % n), b"x" * 60_000]], [], 2 + n)
        for n in range(700)
    )
    return answered(server, call, b"".join(changes))


FOLLOWED_ROUNDS = [
    Round("B32", "16 followers of a table that read none of its changes", unread_changes,
          has_twisted=False, memory=16 * MB),
    Round("B33", "an answer with a table, and 3,000 wrong changes of it", Lure(wrong_changes),
          kind="client", log=100_000),
    Round("B33", "an answer with a table, and 100,000 keys to remove", Lure(removed_keys),
          kind="client", memory=32 * MB),
    Round("B33", "an answer with a table that is dropped, and 700 large changes of it",
          Lure(large_changes), kind="client", memory=64 * MB),
]  # fmt: skip
