"""The attacks of the comparison: those of the catalogue that are the same for every PB server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from attacks.attacker import BOTH, NOTHING, Speaker, flat
from attacks.catalogue import (
    PRIME,
    a_frame,
    a_list,
    a_string,
    bomb,
    bomb_as_key,
    dictionary,
    nested,
    one,
    references,
)
from attacks.comparison.duel import Arena, Attack, described, sent, thrown
from broker.core.wire.messages import GraphAnswer, GraphError

__all__ = ["PB", "ROUNDS", "Round", "argument"]

PB = ("pb",)
WAIT = 33.0
"""Seconds that the slow attacks take: a little more than our timers."""


class Round(NamedTuple):
    """One attack.

    Attributes:
        row: in the catalogue, or S and the number of a hole that a review found.
        name: a description, in words.
        attack: makes it: ``attack(arena)`` returns how it ended; for ``kind`` see ``compare``.
        dialects: those that can express it.
        served: the names of the objects that the server has to serve.
        twin: the same with harmless content; default: ``attack.harmless``, if it exists.
        has_twisted: whether it is made on Twisted, too.
        memory, log: our largest allowed growth, and bytes of the log; None for no limit.
        goal: the intended growth in bytes, if it is not reached; the page says so.
        waits: whether it waits for half a minute, so that all sides are attacked in parallel.
        kind: ``"server"``, ``"client"``, ``"command"`` or ``"proxied"``: the attacked program.
    """

    row: str
    name: str
    attack: Any
    dialects: tuple[str, ...] = BOTH
    served: str = "root,portal"
    twin: Attack | None = None
    has_twisted: bool = True
    memory: int | None = None
    log: int | None = None
    goal: int | None = None
    waits: bool = False
    kind: str = "server"

    @property
    def harmless(self) -> Attack | None:
        """The twin, if there is one."""
        return self.twin or getattr(self.attack, "harmless", None)


def argument(make: Callable[[], Any], **options: Any) -> Callable[[Speaker], bytes]:
    """A call with one argument."""
    return lambda speaker: speaker.call(make(), **options)


def login(make: Callable[[], Any]) -> Attack:
    """A login with this value as the user's name, to a server with a portal."""
    return sent(argument(make, name=b"login"), "portal")


def answering(make: Callable[[Speaker], bytes], tell: Callable[[Any], str]) -> Attack:
    """A call whose outcome is described by its content."""

    def attack(arena: Arena) -> str:
        client = arena.client()
        client.send(make(client.speaker))
        fate = client.fate(1)
        client.close()
        return described(fate) if isinstance(fate, str) else tell(fate)

    return attack


def kind(fate: GraphAnswer | GraphError) -> str:
    """The type that the method received."""
    if type(fate) is GraphError:
        return "refused"
    name = flat(fate.value).rpartition(b" ")[2].decode("ascii", "replace")
    return f"the method gets a `{name}`"


def leaked(fate: GraphAnswer | GraphError) -> str:
    """Whether the text of an exception crossed."""
    crosses = type(fate) is GraphError and b"password" in flat(fate.failure)
    return "the text crosses" if crosses else "an id crosses, and no text"


def large_strings(speaker: Speaker) -> bytes:
    """120 MB in one message."""
    if speaker.name == "pb":
        return a_list(200) + (a_string(600_000) + bytes(600_000)) * 200
    return a_frame(bytes(120_000_000))


def half_strings(arena: Arena) -> str:
    """200 connections to a server with a login, each with half a string; then nothing."""
    clients = []
    for _ in range(200):
        client = arena.client("portal")
        head = a_string(600_000) if arena.side.dialect == "pb" else (60_000).to_bytes(4, "big")
        client.send(head + bytes(100_000 if arena.side.dialect == "pb" else 10_000))
        clients.append(client)
    time.sleep(WAIT)
    still = sum(client.is_open for client in clients)
    for client in clients:
        client.close()
    return f"{still} of 200 open after {WAIT:g} s"


def faults_that_stay(arena: Arena) -> str:
    """200 clients break the rules, send 100 kB more, and neither read nor close."""
    before = arena.server.descriptors
    clients = [arena.client() for _ in range(200)]
    fault = b"\x90" if arena.side.dialect == "pb" else a_frame(b"\x90")
    for client in clients:
        client.send(fault + bytes(100_000))
    time.sleep(3.0)
    left = arena.server.descriptors - before
    for client in clients:
        client.close()
    return f"{left} of 200 sockets open after 3 s"


def unread(arena: Arena) -> str:
    """600 small requests for half a megabyte each, and nothing is read."""
    client = arena.client()
    for number in range(1, 601):
        client.send(client.call(name=b"book", number=number))
    began = time.monotonic()
    while time.monotonic() < began + WAIT and not client.is_cut:
        time.sleep(0.1)
    took, cut = time.monotonic() - began, client.is_cut
    client.close()
    return f"cut off after {took:.0f} s" if cut else f"still served after {WAIT:g} s"


def calls(speaker: Speaker, count: int = 20_000) -> bytes:
    """This many calls."""
    return b"".join(speaker.call(n, number=n) for n in range(1, count + 1))


def unknown_dialects(arena: Arena) -> str:
    """132 kB of names of dialects in place of one choice."""
    client = arena.client(greets=False)
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
    Round("A1", "a prefix of a million digits", thrown(lambda s: b"\x01" * 1_000_000), PB),
    Round("A1", "a frame of 4 GiB", thrown(lambda s: b"\xff\xff\xff\xff"), ("msgpack/1",)),
    Round("A2", "a million lists inside each other",
          thrown(lambda s: b"\x01\x80" * 1_000_000), PB),
    Round("A2", "600 lists inside each other, as an argument", sent(argument(lambda: nested(600)))),
    Round("A3", "120 MB in one message, before a login", sent(large_strings, "portal")),
    Round("A4", "200,000 ints in one chunk", sent(argument(lambda: [b"list", *range(200_000)]))),
    Round("A6", "an unknown type byte", thrown(lambda s: b"\x90"), PB),
    Round("A7", "an empty list as a message",
          thrown(lambda s: b"\x80" if s.name == "pb" else a_frame(b"\x90"))),
    Round("A8", "200 connections with half a string each", half_strings, waits=True),
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
    Round("A17", "11,000 unknown dialects (132 kB)", unknown_dialects, PB),
    Round("B1", "the server's own root as an argument",
          answering(argument(lambda: [b"list", [b"local", b"root"]], name=b"kind"), kind)),
    Round("B2", "letting go of what was never given",
          thrown(lambda s: s.message(*one("decref", 99, s)))),
    Round("B4", "300 calls under an id of 200 kB", thrown(large_ids)),
    Round("B6", "an exception with a secret in its text",
          answering(lambda s: s.call(name=b"fall"), leaked)),
    Round("B13", "600 requests for half a megabyte each, nothing read", unread, waits=True),
    Round("B14", "20,000 calls at once", sent(calls, number=20_000)),
    Round("B20", "200 faults, 100 kB after each, and no close", faults_that_stay),
]  # fmt: skip
