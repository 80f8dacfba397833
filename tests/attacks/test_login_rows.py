"""Logins: guesses, replays, information in a refusal, and secrets on open connections."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from attacks.attacker import POLICIES, Victim, binds, flat, portal, taming
from support.ways_in import BINDING, WaysIn

import cred
from broker.core.policy import Policy
from broker.core.wire.messages import GraphError
from broker.failure import Failure
from cred.challenges import respond
from cred.interfaces import IUsernamePassword
from cred.scram import SCRAM_PLUS, ScramClient


def challenging(policy: str, dialect: str) -> Policy:
    """A policy with the challenge login."""
    return POLICIES[policy].but(challenge_login=True, dialects=(dialect,))


@binds("C1")
def test_one_answer_to_a_challenge(policy: str, dialect: str) -> None:
    """A challenge that was answered, wrong or right, accepts no second answer, not even a right
    one.
    """
    for first in (b"guess", b"secret"):
        room = WaysIn(policy=challenging(policy, dialect))
        token, challenger = room.call("login", b"alice")
        answers = [
            room.get(challenger.callRemote("respond", respond(token, each), None))
            for each in (first, b"secret", b"secret")
        ]
        assert isinstance(answers[0], Failure) == (first == b"guess")
        for again in answers[1:]:
            assert again.check(cred.LoginFailed)
            assert again.getErrorMessage() == "this challenge has been answered; ask for a new one"
        assert len(room.avatars) == (first == b"secret")


@binds("C1")
def test_one_answer_to_an_exchange(policy: str, dialect: str) -> None:
    """The same holds for SCRAM: a wrong proof ends the exchange, and a right one cannot be
    replayed.
    """
    for password in ("guess", "secret"):
        room = WaysIn(policy=challenging(policy, dialect))
        client = ScramClient("alice", password, binding=BINDING, plus=True)
        server_first, exchange = room.call("loginScram", SCRAM_PLUS, client.first())
        final = client.final(server_first)
        first, again = (room.get(exchange.callRemote("finish", final, None)) for _ in range(2))
        assert isinstance(first, Failure) == (password == "guess")
        assert again.getErrorMessage() == "this exchange has been answered; begin a new one"
        assert len(room.avatars) == (password == "secret")


@binds("C2", policies=("strict",), dialects=())
def test_the_challenge_is_off(policy: str) -> None:
    """A server without the MD5 setting neither offers nor accepts it, and its error says so."""
    room = WaysIn(policy=POLICIES[policy])
    assert "challenge" not in room.call("mechanisms")
    failure = room.call("login", b"alice")
    assert failure.check(cred.UnauthorizedLogin)
    assert failure.getErrorMessage().startswith(
        "this server does not accept the old challenge login"
    )


@binds("C2", policies=("strict",), dialects=())
@pytest.mark.parametrize("ways", [("login",), ("loginPassword", b"secret"), ("loginToken",)])
def test_nothing_secret_in_the_open(policy: str, ways: tuple[Any, ...]) -> None:
    """If others can listen, no challenge is sent, and no password or token accepted."""
    room = WaysIn(policy=challenging(policy, "pb"), is_secure=False, binding=None)
    minds = [None] * (ways[0] != "login")
    failure = room.call(ways[0], "alice", *ways[1:], *minds)
    assert failure.check(cred.LoginFailed)
    assert "over TLS or the loopback" in failure.getErrorMessage()
    assert room.avatars == []


@binds("C2", dialects=())
def test_each_challenge_is_another(policy: str) -> None:
    """A challenge is 16 new bytes; an answer to one is not valid for another."""
    room = WaysIn(policy=challenging(policy, "pb"))
    # The most that a peer without a login may hold.
    offers = [room.call("login", b"alice") for _ in range(8)]
    tokens = [token for token, _ in offers]
    assert {len(token) for token in tokens} == {16}
    assert len(set(tokens)) == 8
    answer = respond(tokens[0], b"secret")
    assert room.get(offers[1][1].callRemote("respond", answer, None)).check(cred.LoginFailed)


def victim_in_tls(dialect: str, policy: Policy | str, door: cred.Portal) -> Victim:
    """A victim with a portal, on a connection that others cannot read."""
    victim = Victim(dialect, policy, door)
    victim.transport.is_secure = True  # type: ignore[attr-defined]
    return victim


def refusal(victim: Victim, *messages: bytes) -> bytes:
    """Send messages, and return the bytes of the error that answers the last."""
    for data in messages:
        victim.hear(data)
    (failed,) = [m for m in victim.speaker.read(victim.said) if type(m) is GraphError]
    return flat(failed.failure)


def guess_password(victim: Victim, name: bytes) -> bytes:
    """Guess a plaintext password."""
    call = victim.speaker.call(name, b"guess", [b"None"], name=b"loginPassword")
    return refusal(victim, call)


def guess_challenge(victim: Victim, name: bytes) -> bytes:
    """Guess with the challenge."""
    speaker = victim.speaker
    asked = speaker.call(name, name=b"login")
    answered = speaker.call(b"guess", [b"None"], name=b"respond", target=1, number=2)
    return refusal(victim, asked, answered)


@binds("C3")
@pytest.mark.parametrize("guess", [guess_password, guess_challenge])
def test_a_refusal_tells_nothing(
    policy: str, dialect: str, guess: Callable[[Victim, bytes], bytes]
) -> None:
    """A wrong password and an unknown user are refused with the same bytes."""
    known, unknown = (
        guess(victim_in_tls(dialect, challenging(policy, dialect), portal()), name)
        for name in (b"alice", b"nobody")
    )
    assert known == unknown
    assert b"wrong user name or password" in known


@binds("C3")
def test_scram_tells_nothing(policy: str, dialect: str) -> None:
    """The same for SCRAM: the same iterations, a constant salt, and the same refusal."""
    room = WaysIn(policy=challenging(policy, dialect))
    shown: dict[str, list[Any]] = {}
    for name in ("alice", "nobody", "alice", "nobody"):
        client = ScramClient(name, "guess", binding=BINDING, plus=True)
        server_first, exchange = room.call("loginScram", SCRAM_PLUS, client.first())
        _, salt, iterations = server_first.split(b",")
        final = client.final(server_first)
        failure = room.get(exchange.callRemote("finish", final, None))
        told = (failure.type, failure.getErrorMessage())
        shown.setdefault(name, []).append((salt, len(salt), iterations, told))
    for seen in shown.values():
        assert seen[0] == seen[1]
    assert shown["alice"][0][1:] == shown["nobody"][0][1:]


@binds("C3", policies=(), dialects=())
def test_a_refusal_takes_one_time() -> None:
    """A known and an unknown user have the same functions called, each the same number of times."""
    door = portal()

    def called(name: str) -> Counter[str]:
        found: Counter[str] = Counter()

        def note(frame: FrameType, event: str, told: Any) -> None:
            if event == "call":
                found[frame.f_code.co_qualname] += 1
            elif event == "c_call":
                found[told.__qualname__] += 1

        credentials = cred.UsernamePassword(name, "guess")
        sys.setprofile(note)
        refused = door.login(credentials, None, cred.portal.IRealm)
        sys.setprofile(None)
        refused.addErrback(lambda failure: failure.trap(cred.UnauthorizedLogin))
        return found

    # The first login makes what later ones use.
    called("alice")
    assert called("alice") == called("nobody")


class Everybody:
    """Accepts every login, and records it."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        """Accept the login."""
        self.asked.append(credentials)
        return credentials.username


@binds("C5")
@pytest.mark.parametrize(
    ("name", "password"),
    [(b"a" * 257, b"secret"), (b"alice", b"x" * 1025), ("ﷺ".encode() * 86, b"secret")],
)
def test_long_names(
    policy: str,
    dialect: str,
    name: bytes,
    password: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A too long name or password is a wrong login, in a short line; no checker sees it."""
    everybody = Everybody()
    door = cred.Portal(portal().realm, [everybody])
    victim = victim_in_tls(dialect, policy, door)
    with taming(caplog):
        call = victim.speaker.call(name, password, [b"None"], name=b"loginPassword")
        assert b"wrong user name or password" in refusal(victim, call)
    assert everybody.asked == []
    assert not victim.is_dead


@binds("C5")
def test_long_names_of_scram(policy: str, dialect: str) -> None:
    """SASLprep, which may expand a text, does not see such a name either, and no store is asked."""
    room = WaysIn(policy=challenging(policy, dialect))
    for name in ("a" * 257, "ﷺ" * 86):
        failure = room.call("loginScram", SCRAM_PLUS, f"p=tls-exporter,,n={name},r=abc".encode())
        assert failure.check(cred.LoginFailed)
        assert name not in failure.getErrorMessage()
    assert room.scram.asked == []
