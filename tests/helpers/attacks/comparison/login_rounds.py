"""Attacks from a review on logins: by a peer without a login, and by a logged-in peer."""

from __future__ import annotations

import base64
import json
import selectors
import socket
import statistics
import threading
import time
from contextlib import suppress
from typing import Any

from attacks.comparison.duel import Arena, End, described
from attacks.comparison.peers_raw import Client
from attacks.comparison.rounds import Round
from broker.core.wire.messages import GraphAnswer

__all__ = ["LOGIN_ROUNDS"]

NO_MIND = [b"None"]


def after_expiry(arena: Arena) -> End:
    """Release the avatar, and call an object from it after the login has expired."""
    client = arena.client("expiring")
    avatar = client.log_in(b"alice", b"anything")
    (_, thing) = client.ask(target=avatar, name=b"thing").value
    decref = (b"decref", avatar) if arena.side.dialect == "pb" else (b"decref", avatar, 1)
    client.send(client.speaker.message(*decref))
    time.sleep(2.5)
    end = described(client.ask(1, target=thing))
    client.close()
    if end == "answered":
        return End("served after its login has expired", "a login holds on after its expiry")
    return End(end)


def two_logins(arena: Arena) -> End:
    """Log in as alice, then as bob, and ask alice's avatar for its caller."""
    client = arena.client("portal")
    avatar = client.log_in(b"alice", b"secret")
    client.log_in(b"bob", b"hidden")
    fate = client.ask(target=avatar, name=b"who")
    client.close()
    if type(fate) is not GraphAnswer:
        return End(described(fate))
    name = fate.value[1].decode() if type(fate.value) is list else str(fate.value)
    return End(f"alice's avatar is called by {name}", "" if name == "alice" else "the wrong name")


def refused_calls(arena: Arena) -> str:
    """Three seconds of calls that are refused before a login, and logged."""
    ends = time.monotonic() + 3
    done = 0
    while time.monotonic() < ends:
        client = arena.client("portal")
        for number in range(1, 501):
            if isinstance(client.ask([b"unicode", b"x"], name=b"n%d" % number), str):
                break
            done += 1
            if time.monotonic() > ends:
                break
        client.close()
    return f"{done:,} calls refused in 3 s" if done < 500 else "calls refused for 3 s"


def refused_connections(arena: Arena) -> str:
    """Three seconds of connections that are refused, since 16 are already pending."""
    waiting = [arena.client("portal") for _ in range(16)]
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", arena.server.ports["portal"]), 1.0).close()
    for client in waiting:
        client.close()
    return "connections refused for 3 s"


def bad_tokens(arena: Arena) -> str:
    """200 logins with a token whose algorithm is a list."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": ["EdDSA"], "kid": "one"}).encode())
    token = head.rstrip(b"=") + b".e30.AAAA"
    ends = set()
    for _ in range(200):
        with suppress(OSError):
            client = arena.client("tokens")
            ends.add(described(client.ask(token, NO_MIND, name=b"loginToken")))
            client.close()
    return " or ".join(sorted(ends))


def login_times(arena: Arena) -> End:
    """Compare wrong passwords' times: of a cheap user, an expensive one, and an unknown one."""
    times: dict[bytes, list[float]] = {b"alice": [], b"bob": [], b"nobody": [], b"nemo": []}
    for _ in range(12):
        for name, taken in times.items():
            client = arena.client("mixed")
            began = time.perf_counter()
            client.ask(name, b"wrong", NO_MIND, name=b"loginPassword")
            taken.append(time.perf_counter() - began)
            client.close()
    found = [statistics.median(taken) for taken in times.values()]
    text = "/".join(f"{seconds * 1000:.0f}" for seconds in found)
    fault = f"times differ: {text} ms" if max(found) > 2 * min(found) + 0.01 else ""
    return End(f"a wrong password takes {text} ms", fault)


class Flood:
    """Connections from many addresses that wait for their login, and reconnect at once."""

    def __init__(self, port: int, sources: int = 20, each: int = 16):
        self._address = ("127.0.0.1", port)
        self._sources = [f"127.0.0.{number}" for number in range(2, 2 + sources)]
        self._each = each
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Flood:
        self._thread.start()
        time.sleep(0.5)
        return self

    def __exit__(self, *about: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as chosen:
            for source in self._sources * self._each:
                self._open(chosen, source)
            while not self._ends.is_set():
                for key, _ in chosen.select(0.1):
                    end: Any = key.fileobj
                    with suppress(OSError):
                        if end.recv(4096):
                            continue
                    chosen.unregister(end)
                    end.close()
                    self._open(chosen, key.data)
                time.sleep(0.002)
            for key in list(chosen.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]

    def _open(self, chosen: selectors.BaseSelector, source: str) -> None:
        end = socket.socket()
        end.setblocking(False)
        with suppress(OSError):
            end.bind((source, 0))
            with suppress(BlockingIOError):
                end.connect(self._address)
            chosen.register(end, selectors.EVENT_READ, source)


def full_lobby(arena: Arena) -> End:
    """20 addresses fill the pending connections; an honest client tries to log in 100 times."""
    let_in = 0
    with Flood(arena.server.ports["portal"]):
        began = time.monotonic()
        for _ in range(100):
            let_in += tries_to_log_in(arena)
            if time.monotonic() - began > 40:
                break
    fault = "" if let_in >= 95 else f"let in {let_in} times of 100 within 1 s"
    return End(f"an honest client is let in {let_in} times of 100", fault)


def tries_to_log_in(arena: Arena) -> bool:
    """Return whether an honest client can log in within a second."""
    began = time.monotonic()
    with suppress(OSError):
        client: Client = arena.client("portal", source="127.0.0.1")
        avatar = client.log_in(b"alice", b"secret")
        client.close()
        return avatar is not None and time.monotonic() - began <= 1.0
    return False


LOGIN_ROUNDS = [
    Round("S5", "a call after the login has expired, the avatar dropped", after_expiry,
          served="root,expiring", has_twisted=False),
    Round("S6", "two logins on one connection", two_logins, has_twisted=False),
    Round("S9", "calls that are refused, before a login", refused_calls, log=50_000),
    Round("S9", "connections that are refused, before a login", refused_connections, log=50_000),
    Round("S10", "200 tokens whose algorithm is a list", bad_tokens, served="root,tokens",
          has_twisted=False, log=50_000),
    Round("S14",
          "wrong passwords of users whose passwords cost little or much, and of an unknown user",
          login_times, served="root,mixed", has_twisted=False),
    Round("S17", "20 addresses fill the lobby", full_lobby),
]  # fmt: skip
