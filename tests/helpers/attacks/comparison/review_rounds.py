"""Attacks from a review on servers: a row for each hole that it found, S1 to S17."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

from attacks.attacker import Speaker
from attacks.catalogue import PRIME, a_list, a_string, references, shared
from attacks.comparison.duel import Arena, End, described, sent
from attacks.comparison.peers_raw import pour
from attacks.comparison.rounds import Round, argument, calls
from broker.core.wire.messages import GraphAnswer

__all__ = ["REVIEW_ROUNDS"]

MB = 1_000_000
FORGED = "\n2026-01-01 forged\x1b[31m\x07\u2028forged"
"""Text that would start a coloured line if it were written unchanged."""


def large_references(speaker: Speaker, count: int = 20_000) -> bytes:
    """Shared lists under numbers of one hash."""
    parts = [[b"reference", k * PRIME, [b"list"]] for k in range(1, count + 1)]
    return speaker.call([b"list", *parts], name=b"keep")


def large_remotes(speaker: Speaker) -> bytes:
    """Objects of the attacker under numbers of one hash."""
    parts = [[b"remote", k * PRIME] for k in range(1, 1_000)]
    return speaker.call([b"list", *parts], name=b"gather")


def vanishing(data: Any, count: int = 1, port: str = "root") -> Any:
    """Connections that send much and are closed at once."""

    def attack(arena: Arena) -> str:
        sent_bytes = data(arena.speaker)
        clients = [arena.client(port) for _ in range(count)]
        threads = [threading.Thread(target=c.send, args=(sent_bytes,)) for c in clients]
        for thread in threads:
            thread.start()
        for client, thread in zip(clients, threads, strict=True):
            thread.join()
            client.close()
        # The server handles the bytes after the end of the connections.
        time.sleep(1.0)
        return "closed by the attacker"

    return attack


def harmless(count: int) -> Any:
    """Small messages that need no answer."""
    return lambda speaker: speaker.harmless * count


def one_way(speaker: Speaker) -> bytes:
    """The calls of an honest client."""
    return speaker.call(1, answer=0, number=7, name=b"keep") * 600_000


def much_text(speaker: Speaker) -> bytes:
    """15 MB of text."""
    text = [b"unicode", b"\x1b" + b"x" * 600_000]
    return speaker.call([b"list", *[text] * 25], name=b"refuse")


def beyond_small_limits(arena: Arena) -> End:
    """Send one message beyond each of three limits."""
    values = {
        "max_string": [b"list", bytes(100_000)],
        "max_list": [b"list", *range(50_000)],
        "max_depth": nested_lists(31),
    }
    passed = []
    for name, value in values.items():
        client = arena.client("small")
        if type(client.ask(value, name=b"keep")) is GraphAnswer:
            passed.append(name)
        client.close()
    return End("accepted" if passed else "refused", " ".join(passed))


def nested_lists(depth: int) -> Any:
    """Lists inside each other."""
    value: Any = [b"list"]
    for _ in range(depth):
        value = [b"list", value]
    return value


def forging(arena: Arena) -> End:
    """Send text that looks like log lines, in every field that may contain it."""
    text = FORGED.encode()
    messages = [
        lambda s: s.call([b"unicode", text], name=b"refuse"),
        lambda s: s.call([b"unicode", text], name=b"lookup"),
        lambda s: s.call(name=text),
        lambda s: s.call([text]),
        lambda s: s.call(target=text),
        lambda s: s.message(b"didNotUnderstand", text),
        lambda s: s.message(text),
    ]
    if arena.side.dialect == "msgpack/1":
        messages[-2:] = [lambda s: s.message(b"goodbye", FORGED, FORGED)]
    for message in messages:
        client = arena.client()
        client.send(message(client.speaker))
        client.ask(1)
        client.close()
    return forged(arena.log_text())


def forged(log: str) -> End:
    """Whether a log, or printed output, contains the forged line."""
    is_forged = any(mark in log for mark in ("\x1b", "\x07", "\u2028", "\n2026-01-01 forged"))
    return End(
        "written as it is" if is_forged else "escaped", "lines are forged" if is_forged else ""
    )


def decimals(speaker: Speaker) -> Any:
    """14.8 MB of decimals."""
    return [b"list", *[DECIMAL] * (14_800_000 // size_of(speaker, DECIMAL))]


def copies(speaker: Speaker) -> Any:
    """4.3 MB of copies, each of 43 bytes."""
    text = bytes(43 - size_of(speaker, a_copy(b"")))
    return [b"list", *[a_copy(text)] * 100_000]


DECIMAL = [b"decimal", 10**124 - 1, -100]


def a_copy(value: Any) -> Any:
    """One copy."""
    return [b"demo.Point", [b"dictionary", [[b"unicode", b"x"], value]]]


def size_of(speaker: Speaker, expression: Any) -> int:
    """How many bytes an expression takes among others."""
    return len(speaker.call(*[expression] * 1_000)) // 1_000


def crowd(arena: Arena) -> str:
    """200 connections that send 100 kB of small calls each."""
    clients = [arena.client() for _ in range(200)]
    pour(clients, calls(arena.speaker, 2_000), 30)
    still = sum(client.is_open for client in clients)
    for client in clients:
        client.close()
    return f"{still} of 200 open"


def half_message(dialect: str, size: int) -> bytes:
    """The beginning of a message of that many bytes, without the last byte."""
    if dialect != "pb":
        return size.to_bytes(4, "big") + bytes(size - 1)
    whole, rest = divmod(size, 650_000)
    strings = [a_string(650_000) + bytes(650_000)] * whole
    return a_list(whole + 2) + b"".join(strings) + a_string(650_000) + bytes(rest)


def one_after_the_other(arena: Arena) -> End:
    """1,000 connections that begin a message of 980 kB and close."""
    data = half_message(arena.side.dialect, 980_000)
    ours = arena.server
    for number in range(1_020):
        if number == 20:
            # As at the end: the server has released the received bytes.
            time.sleep(1.0)
            before = ours.memory()
        client = arena.client()
        client.send(data)
        client.close()
    time.sleep(1.0)
    left = ours.memory() - before
    fault = f"more than 5 MB left: {left / MB:.1f} MB" if left > 5 * MB else ""
    return End(f"{max(left, 0) / MB:.1f} MB left", fault)


def half_messages(arena: Arena) -> str:
    """64 connections with half a message of 15 MiB each."""
    clients = [arena.client() for _ in range(64)]
    pour(clients, half_message(arena.side.dialect, 15 << 20), 20)
    still = sum(client.is_open for client in clients)
    for client in clients:
        client.close()
    time.sleep(0.5)
    return f"{still} of 64 open"


def other_constant(arena: Arena) -> End:
    """A copy with another value for a constant of its class."""
    client = arena.client()
    state = [b"dictionary", [[b"unicode", b"x"], 1], [[b"unicode", b"RATE"], 99.0]]
    fate = client.ask([b"demo.Point", state], name=b"rate")
    client.close()
    if type(fate) is GraphAnswer:
        is_set = fate.value == 99.0
        # Under the published policy a copy accepts any attributes, as in Twisted.
        fault = "a constant is set" if is_set and arena.side.policy == "strict" else ""
        return End("the constant is set" if is_set else "the constant stays", fault)
    return End(described(fate))


def slow_reader(arena: Arena) -> End:
    """Ask for 15 MB, and read 3 MB a second, as an honest client on a slow line does.

    A ping follows: it is answered only when the rest has been read.
    """
    client = arena.client("hasty")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    for number in range(1, 601):
        is_large = number % 20 == 0
        ask = client.call(name=b"book") if is_large else client.call(bytes(5_000), name=b"keep")
        client.send(ask)
    read, began = 0, time.monotonic()
    with suppress(OSError):
        while read < 15_000_000 and (data := client.socket.recv(32_768)):
            read += len(data)
            time.sleep(max(0.0, began + read / 3_000_000 - time.monotonic()))
    client.close()
    if read < 15_000_000:
        return End(f"cut off after {read / MB:.1f} MB", "an honest client is cut off")
    return End("answered")


REVIEW_ROUNDS = [
    Round("S1", "20,000 shared lists under numbers of one hash", sent(large_references)),
    Round("S1", "999 objects under numbers of one hash, put into a set", sent(large_remotes)),
    Round("S1", "999 objects under small numbers, put into a set",
          sent(argument(lambda: references(999), name=b"gather"))),
    Round("S2", "700,000 small messages (4 MB), then gone, before a login",
          vanishing(harmless(700_000), port="portal")),
    Round("S2", "2,100,000 small messages (12 MB), then gone", vanishing(harmless(2_100_000))),
    Round("S2", "16 connections that do so with 4 MB, before a login",
          vanishing(harmless(700_000), 16, "portal")),
    Round("S2", "600,000 one-way calls, then gone", vanishing(one_way)),
    Round("S3", "24 levels of a shared part (422 B) as the key of a table",
          sent(argument(lambda: shared(24), name=b"lookup")), log=8_000),
    Round("S3", "44 levels of a shared part (800 B) as the key of a table",
          sent(argument(lambda: shared(44), name=b"lookup")), log=8_000),
    Round("S3", "20 levels of a shared part in an error",
          sent(argument(lambda: shared(20, b"list"), name=b"refuse")), log=8_000),
    Round("S3", "19 levels of a shared part in an error of an async method",
          sent(argument(lambda: shared(19, b"list"), name=b"refuse_later")), log=8_000,
          has_twisted=False),
    Round("S3", "15 MB of text in an error", sent(much_text), log=8_000),
    Round("S7", "beyond limits of 1000 bytes, 100 elements, 10 levels", beyond_small_limits,
          served="root,small", has_twisted=False),
    Round("S8", "lines and colours for the log, in every field", forging),
    Round("S11", "14.8 MB of decimals", sent(lambda s: s.call(decimals(s), name=b"keep")),
          memory=148 * MB),
    Round("S11", "4.3 MB of copies, sent back", sent(lambda s: s.call(copies(s))),
          memory=65 * MB, goal=43 * MB),
    Round("S11", "200 connections with 2,000 calls each", crowd),
    Round("S12", "1,000 connections, one after the other, with half a message of 980 kB",
          one_after_the_other),
    Round("S12", "64 connections with half a message of 15 MiB", half_messages, memory=400 * MB),
    Round("S13", "a copy that brings a constant of its class", other_constant),
    Round("S15", "an honest client that reads slowly, pinged every second", slow_reader,
          ("msgpack/1",), served="root,hasty", has_twisted=False),
]  # fmt: skip
