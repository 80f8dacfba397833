"""The conversations of the logins that PB has not, as ours hold them, in both dialects.

Nobody else can be asked what is right; the file keeps what was once published from changing unseen.
What is random elsewhere is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from notation import to_json
from ways_in import BINDING, ITERATIONS, WaysIn

from broker.core.policy import STRICT
from cred.credentials import Anonymous, ClientCertificate, Token, UsernamePassword
from cred.scram_verifier import ScramVerifier
from jelly.codec import Reader, Writer
from jelly.limits import Limits
from jelly.vocabulary import PB_VOCABULARY

POLICY = STRICT.but(challenge_login=True)
SALT = b"salt of alice..."
# The number of the command in msgpack/1. What Python lets go of, and when, is its own affair.
_DECREF = 8
NONCES = ("nonce-of-the-client", "-and-of-the-server")


def log_in(*credentials: Any) -> Callable[[WaysIn], None]:
    """Return what logs in, with each of these in turn."""

    def talk(room: WaysIn) -> None:
        for each in credentials:
            room.log_in(each)

    return talk


def scram(room: WaysIn) -> None:
    """Log in by SCRAM, with nonces that anybody can know."""
    with patch("cred.scram._new_nonce", iter(NONCES).__next__):
        room.log_in(UsernamePassword("alice", "secret"))


def without_binding(room: WaysIn) -> None:
    """Log in by SCRAM where TLS has nothing to bind to, as TLS 1.2."""
    for side in (room.client, room.server):
        room.transport(side).channel_binding = lambda: None
    scram(room)


def scram_refused(room: WaysIn) -> None:
    """Know no password."""
    with patch("cred.scram._new_nonce", iter(NONCES).__next__):
        room.log_in(UsernamePassword("alice", "guess"))


def password(room: WaysIn) -> None:
    """Log in where the store has Argon2id hashes."""
    room.take_away(*room.scram.credentialInterfaces)
    room.log_in(UsernamePassword("alice", "secret"))


TALKS: dict[str, tuple[str, Callable[[WaysIn], None]]] = {
    "certificate": ("The client has shown a certificate in TLS.", log_in(ClientCertificate())),
    "scram_plus": ("SCRAM-SHA-256-PLUS, the binding being " + BINDING.decode(), scram),
    "scram": ("SCRAM-SHA-256, where neither side has a binding.", without_binding),
    "scram_refused": ("A wrong password; an unknown user looks the same.", scram_refused),
    "token": ("A token that the server knows.", log_in(Token("good"))),
    "token_refused": ("One that it does not.", log_in(Token("bad"))),
    "password": ("A password in clear, inside TLS.", password),
    "guest": ("Nobody in particular, and no question before.", log_in(Anonymous())),
}
"""By name: what the conversation is, and what the client does."""


def record_login() -> list[Any]:
    """The content of ``login.json``."""
    return [
        {"name": name, "about": about, "messages": [*_spoken(talk)]}
        for name, (about, talk) in TALKS.items()
    ]


def _spoken(talk: Callable[[WaysIn], None]) -> Iterator[Any]:
    in_pb = [
        (side, expression)
        for side, data in _written(talk, "pb")
        for expression in _expressions(data)
        if expression[0] != b"decref"
    ]
    in_msgpack = [
        (side, frame)
        for side, data in _written(talk, "msgpack/1")
        for frame in _frames(data)
        if frame[5] != _DECREF
    ]
    assert [side for side, _ in in_pb] == [side for side, _ in in_msgpack]
    for (side, expression), (_, frame) in zip(in_pb, in_msgpack, strict=True):
        yield {
            "from": side,
            "expression": to_json(expression),
            "pb": Writer(Limits(), PB_VOCABULARY).encode(expression).hex(),
            "msgpack/1": frame.hex(),
        }


def _expressions(data: bytes) -> Any:
    reader = Reader(Limits(), PB_VOCABULARY)
    reader.feed(data)
    return reader.read()


def _frames(data: bytes) -> Iterator[bytes]:
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        yield data[:end]
        data = data[end:]


def _written(talk: Callable[[WaysIn], None], dialect: str) -> list[tuple[str, bytes]]:
    """Return who wrote what, from after the handshake to the avatar."""
    room = WaysIn(policy=POLICY.but(dialects=(dialect,)))
    verifier = ScramVerifier.of_password("secret", ITERATIONS, salt=SALT)
    room.scram.users["alice"] = verifier
    written: list[tuple[str, bytes]] = []
    for side, name in ((room.client, "client"), (room.server, "server")):
        _listen(room.transport(side), name, written)
    talk(room)
    return written


def _listen(transport: Any, name: str, written: list[tuple[str, bytes]]) -> None:
    write = transport.write

    def heard(data: bytes) -> None:
        written.append((name, bytes(data)))
        write(data)

    transport.write = heard
