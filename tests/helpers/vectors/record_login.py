"""The conversations of the logins that PB has not, as ours hold them, in both dialects.

Nobody else can be asked what is right; the file keeps what was once published from changing unseen.
What is random elsewhere is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from support.ways_in import BINDING, ITERATIONS, WaysIn

from broker.core.policy import STRICT, Policy
from cred.credentials import Anonymous, ClientCertificate, Token, UsernamePassword
from cred.scram_verifier import ScramVerifier
from jelly.codec import Reader, Writer
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY
from vectors.notation import to_json

POLICY = STRICT.but(challenge_login=True)
SALT = b"salt of alice..."
# The number of the command in msgpack/1. What Python lets go of, and when, is its own affair.
_DECREF = 8
NONCES = ("nonce-of-the-client", "-and-of-the-server")


def log_in(credentials: Any) -> Callable[[WaysIn], None]:
    """Return what logs in with these."""

    def talk(room: WaysIn) -> None:
        room.log_in(credentials)

    return talk


def as_it_is(room: WaysIn) -> None:
    """Change nothing."""


def scram(room: WaysIn) -> None:
    """Log in by SCRAM, with nonces that anybody can know."""
    with patch("cred.scram._new_nonce", iter(NONCES).__next__):
        room.log_in(UsernamePassword("alice", "secret"))


def without_binding(room: WaysIn) -> None:
    """Have nothing in TLS to bind to, as in TLS 1.2."""
    for side in (room.client, room.server):
        room.transport(side).channel_binding = lambda: None


def scram_refused(room: WaysIn) -> None:
    """Know no password."""
    with patch("cred.scram._new_nonce", iter(NONCES).__next__):
        room.log_in(UsernamePassword("alice", "guess"))


def without_scram(room: WaysIn) -> None:
    """Have a store with Argon2id hashes."""
    room.take_away(*room.scram.credentialInterfaces)


def without_checkers(room: WaysIn) -> None:
    """Have a login that nobody can pass."""
    room.take_away(*list(room.portal.checkers))


def ask(room: WaysIn) -> None:
    """Ask what the offer has said."""
    room.call("mechanisms")


ALICE = log_in(UsernamePassword("alice", "secret"))
Step = Callable[[WaysIn], None]

TALKS: dict[str, tuple[str, Step, Step]] = {
    "certificate": (
        "The client has shown a certificate in TLS.", as_it_is, log_in(ClientCertificate())
    ),
    "scram_plus": ("SCRAM-SHA-256-PLUS, the binding being " + BINDING.decode(), as_it_is, scram),
    "scram": ("SCRAM-SHA-256, where neither side has a binding.", without_binding, scram),
    "scram_refused": ("A wrong password; an unknown user looks the same.", as_it_is, scram_refused),
    "token": ("A token that the server knows.", as_it_is, log_in(Token("good"))),
    "token_refused": ("One that it does not.", as_it_is, log_in(Token("bad"))),
    "password": ("A password in clear, inside TLS.", without_scram, ALICE),
    "guest": ("Nobody in particular.", as_it_is, log_in(Anonymous())),
    "mechanisms": ("An older client, which does not read the offer, asks.", as_it_is, ask),
    "no_way_in": ("A login that takes nothing: the client says nothing.", without_checkers, ALICE),
}  # fmt: skip
"""By name: what the conversation is, what is so before it, and what the client does."""


def record_login() -> list[Any]:
    """The content of ``login.json``."""
    return [
        {"name": name, "about": about, **_offer(prepare), "messages": [*_spoken(prepare, talk)]}
        for name, (about, prepare, talk) in TALKS.items()
    ]


def _offer(prepare: Step) -> dict[str, Any]:
    """Return the server's offer, as an expression and as its bytes."""
    room, written = _room(prepare, POLICY)
    room.exchange()
    offer = next(data for side, data in written if side == "server")
    reader = Reader(Limits(), NONE_VOCABULARY)
    reader.feed(offer)
    (expression,) = reader.read()
    return {"offer": to_json(expression), "hex": offer.hex()}


def _spoken(prepare: Step, talk: Step) -> Iterator[Any]:
    in_pb = [
        (side, expression)
        for side, data in _written(prepare, talk, "pb")
        for expression in _expressions(data)
        if expression[0] != b"decref"
    ]
    in_msgpack = [
        (side, frame)
        for side, data in _written(prepare, talk, "msgpack/1")
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


def _written(prepare: Step, talk: Step, dialect: str) -> list[tuple[str, bytes]]:
    """Return who wrote what, from after the handshake to the avatar."""
    room, written = _room(prepare, POLICY.but(dialects=(dialect,)))
    room.exchange()
    written.clear()
    talk(room)
    return written


def _room(prepare: Step, policy: Policy) -> tuple[WaysIn, list[tuple[str, bytes]]]:
    """Return a client and a server before the handshake, and where it stands who writes what."""
    room = WaysIn(policy=policy, connect=False)
    verifier = ScramVerifier.of_password("secret", ITERATIONS, salt=SALT)
    room.scram.users["alice"] = verifier
    prepare(room)
    written: list[tuple[str, bytes]] = []
    for side, name in ((room.client, "client"), (room.server, "server")):
        _listen(room.transport(side), name, written)
    return room, written


def _listen(transport: Any, name: str, written: list[tuple[str, bytes]]) -> None:
    write = transport.write

    def heard(data: bytes) -> None:
        written.append((name, bytes(data)))
        write(data)

    transport.write = heard
