"""The attacks of the comparison: those of the catalogue that are the same to any server of PB's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from attacker import NOTHING, Speaker, flat
from catalogue import (
    PRIME,
    a_list,
    a_string,
    bomb,
    bomb_as_key,
    dictionary,
    nested,
    references,
)
from duel import PATIENCE, Client, described, sent, thrown

__all__ = ["ROUNDS", "Round"]

WAIT = 33.0
"""Seconds that the slow attacks take: a little more than our timers."""


class Round(NamedTuple):
    """One attack.

    Attributes:
        row: of the catalogue.
        name: what is done, in words.
        attack: does it: ``attack(ports)`` returns how it ended.
    """

    row: str
    name: str
    attack: Callable[[dict[str, int]], str]


def argument(make: Callable[[], Any], **options: Any) -> Callable[[Speaker], bytes]:
    """A call with one argument."""
    return lambda speaker: speaker.call(make(), **options)


def login(make: Callable[[], Any]) -> Callable[[dict[str, int]], str]:
    """A login with this as the user's name, to a server with a portal."""
    return sent(argument(make, name=b"login"), "portal")


def answering(
    make: Callable[[Speaker], bytes], tell: Callable[[Any], str]
) -> Callable[[dict[str, int]], str]:
    """A call whose outcome is told by what is in it."""

    def attack(ports: dict[str, int]) -> str:
        client = Client(ports["root"])
        client.send(make(client.speaker))
        fate = client.fate(1)
        client.close()
        return tell(fate) if isinstance(fate, list) else described(fate)

    return attack


def kind(fate: list[Any]) -> str:
    """What the method says that it was given."""
    if fate[0] == b"error":
        return "refused"
    name = flat(fate[2]).rpartition(b" ")[2].decode("ascii", "replace")
    return f"the method gets a `{name}`"


def leaked(fate: list[Any]) -> str:
    """Whether the text of an exception crossed."""
    return "the text crosses" if b"password" in flat(fate) else "an id crosses, and no text"


def half_strings(ports: dict[str, int]) -> str:
    """200 connections to a server with a login, each with half a string; then nothing."""
    clients = []
    for _ in range(200):
        client = Client(ports["portal"])
        client.send(a_string(600_000) + bytes(100_000))
        clients.append(client)
    time.sleep(WAIT)
    still = sum(client.is_open for client in clients)
    for client in clients:
        client.close()
    return f"{still} of 200 open after {WAIT:g} s"


def unread(ports: dict[str, int]) -> str:
    """600 small requests for half a megabyte each, and nothing is read."""
    client = Client(ports["root"])
    for number in range(1, 601):
        client.send(client.call(name=b"book", number=number))
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends and not client.is_cut:
        time.sleep(0.1)
    took = WAIT - (ends - time.monotonic())
    cut = client.is_cut
    client.close()
    return f"cut off after {took:.0f} s" if cut else f"still served after {WAIT:g} s"


def burst(ports: dict[str, int]) -> str:
    """20,000 calls at once, whose answers are read."""
    client = Client(ports["root"])
    client.send(b"".join(client.call(n, number=n) for n in range(1, 20_001)))
    end = described(client.fate(20_000, PATIENCE))
    client.close()
    return end


def unknown_dialects(ports: dict[str, int]) -> str:
    """132 kB of names of dialects where one is chosen."""
    client = Client(ports["root"], greets=False)
    client.send((a_string(10) + b"gibberish!") * 11_000)
    end = described(client.fate(1, 2.0))
    client.close()
    return end


def large_ids(speaker: Speaker) -> bytes:
    """Calls whose ids are strings."""
    call = (b"root", b"echo", 1, [b"tuple", 1], NOTHING)
    return b"".join(
        speaker.message(b"message", b"%06d" % number + bytes(200_000), *call)
        for number in range(300)
    )


ROUNDS = [
    Round("A1", "a prefix of a million digits", thrown(lambda s: b"\x01" * 1_000_000)),
    Round("A2", "a million lists inside each other", thrown(lambda s: b"\x01\x80" * 1_000_000)),
    Round("A2", "600 lists inside each other, as an argument", sent(argument(lambda: nested(600)))),
    Round("A3", "120 MB of strings in one list, before a login",
          sent(lambda s: a_list(200) + (a_string(600_000) + bytes(600_000)) * 200, "portal")),
    Round("A4", "200,000 ints in one chunk", sent(argument(lambda: [b"list", *range(200_000)]))),
    Round("A6", "an unknown type byte", thrown(lambda s: b"\x90")),
    Round("A7", "an empty list as a message", thrown(lambda s: b"\x80")),
    Round("A8", "200 connections with half a string each", half_strings),
    Round("A10", "a hash bomb of 26 levels (1.1 kB), before a login",
          login(lambda: bomb_as_key(26))),
    Round("A10", "a hash bomb of 60 levels (2.5 kB), before a login",
          login(lambda: bomb_as_key(60))),
    Round("A11", "40,000 keys with one hash, before a login",
          login(lambda: dictionary(*(k * PRIME for k in range(1, 40_001))))),
    Round("A12", "a repr bomb of 20 levels to a method that takes two",
          sent(lambda s: s.call(bomb(20), name=b"pair"))),
    Round("A13", "a Decimal of a million digits to a method that makes an int of it",
          sent(argument(lambda: [b"decimal", 1, 1_000_000], name=b"whole"))),
    Round("A14", "200,000 references", sent(argument(lambda: references(200_000)))),
    Round("A15", "a reference to nothing",
          answering(argument(lambda: [b"list", [b"dereference", 77]], name=b"kind"), kind)),
    Round("A15", "a tuple that holds itself",
          answering(argument(lambda: [b"list", [b"reference", 1, [b"tuple", [b"dereference", 1]]]],
                             name=b"kind"), kind)),
    Round("A17", "11,000 unknown dialects (132 kB)", unknown_dialects),
    Round("B1", "the server's own root as an argument",
          answering(argument(lambda: [b"list", [b"local", b"root"]], name=b"kind"), kind)),
    Round("B2", "letting go of what was never given", thrown(lambda s: s.message(b"decref", 99))),
    Round("B4", "300 calls under an id of 200 kB", thrown(large_ids)),
    Round("B6", "an exception with a secret in its text",
          answering(lambda s: s.call(name=b"fall"), leaked)),
    Round("B13", "600 requests for half a megabyte each, nothing read", unread),
    Round("B14", "20,000 calls at once", burst),
]  # fmt: skip
