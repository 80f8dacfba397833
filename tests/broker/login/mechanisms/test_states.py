"""Every login message in every state of a connection: before, during, after, and twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.ways_in import BINDING, WaysIn

import cred
from broker.flavors.reference import RemoteReference
from cred.challenges import respond
from cred.scram import SCRAM_PLUS, ScramClient


def scram(room: WaysIn) -> Any:
    """Log in by SCRAM, step by step; return the avatar."""
    client = ScramClient("alice", "secret", binding=BINDING, plus=True)
    server_first, exchange = room.call("loginScram", SCRAM_PLUS, client.first())
    server_final, avatar = room.get(exchange.callRemote("finish", client.final(server_first), None))
    client.verify(server_final)
    return avatar


def challenge(room: WaysIn) -> Any:
    """Log in by the challenge, step by step; return the avatar."""
    token, challenger = room.call("login", b"alice")
    return room.get(challenger.callRemote("respond", respond(token, b"secret"), None))


LOGINS: dict[str, tuple[str, Callable[[WaysIn], Any]]] = {
    "certificate": ("carol", lambda room: room.call("loginCertificate", None)),
    "SCRAM-SHA-256-PLUS": ("alice", scram),
    "token": ("bob", lambda room: room.call("loginToken", "good", None)),
    "password": ("alice", lambda room: room.call("loginPassword", b"alice", b"secret", None)),
    "challenge": ("alice", challenge),
    "anonymous": ("guest", lambda room: room.call("loginAnonymous", None)),
}

REFUSED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "token": ("loginToken", ("bad", None)),
    "password": ("loginPassword", (b"alice", b"bad", None)),
    "scram": ("loginScram", (SCRAM_PLUS, b"x")),
    "no method": ("secret", ()),
}


def begin_scram(room: WaysIn) -> None:
    """Leave an exchange of SCRAM open."""
    client = ScramClient("alice", "secret", binding=BINDING, plus=True)
    room.kept = room.call("loginScram", SCRAM_PLUS, client.first())  # type: ignore[attr-defined]


def begin_challenge(room: WaysIn) -> None:
    """Leave a challenge open."""
    room.kept = room.call("login", b"alice")  # type: ignore[attr-defined]


def fail_once(room: WaysIn) -> None:
    """Have been refused."""
    assert room.call("loginPassword", b"alice", b"bad", None).check(cred.UnauthorizedLogin)


def keep(room: WaysIn, name: str) -> None:
    """Be logged in."""
    room.kept = LOGINS[name][1](room)  # type: ignore[attr-defined]


STATES: dict[str, Callable[[WaysIn], object]] = {
    "before": lambda room: None,
    "with an exchange open": begin_scram,
    "with a challenge open": begin_challenge,
    "after a refusal": fail_once,
    "after a login": lambda room: keep(room, "password"),
    "after a guest": lambda room: keep(room, "anonymous"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", LOGINS)
def test_each_login_in_each_state(name: str, state: str) -> None:
    """A login does the same whatever has come before it: an avatar of its own, for its own user."""
    room = WaysIn()
    STATES[state](room)
    user, log_in = LOGINS[name]
    avatar = log_in(room)
    assert room.get(avatar.callRemote("whoami")) == user
    assert room.server.peer.mechanism == name


@pytest.mark.parametrize("name", LOGINS)
def test_twice(name: str) -> None:
    """The same login twice makes two avatars, and each is logged out once."""
    room = WaysIn()
    _, log_in = LOGINS[name]
    first, second = log_in(room), log_in(room)
    assert isinstance(first, RemoteReference)
    assert first is not second
    room.cut()
    assert [avatar.logouts for avatar in room.avatars] == [1, 1]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", REFUSED)
def test_each_refusal_in_each_state(name: str, state: str) -> None:
    """What is wrong is refused in every state, and changes nothing: who was in stays in."""
    room = WaysIn()
    STATES[state](room)
    before = (room.server.peer.avatar_id, len(room.avatars))
    method, arguments = REFUSED[name]
    assert room.call(method, *arguments).check(cred.LoginFailed)
    assert (room.server.peer.avatar_id, len(room.avatars)) == before
    assert not room.server.disconnected


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("mechanisms", (1,)),
        ("loginCertificate", ()),
        ("loginScram", (SCRAM_PLUS,)),
        ("loginToken", ("good",)),
        ("loginPassword", (b"alice", b"secret")),
        ("login", ()),
        ("loginAnonymous", ()),
    ],
)
def test_arguments_that_do_not_fit(method: str, arguments: tuple[Any, ...]) -> None:
    """A login message with too few or too many fields is refused by name."""
    failure = WaysIn().call(method, *arguments)
    assert failure.check("broker.errors.WrongArguments")
    assert failure.getErrorMessage().startswith(f"{method}: ")


@pytest.mark.parametrize("name", ["loginToken", "loginPassword", "loginScram", "loginCertificate"])
def test_a_login_without_an_answer(name: str) -> None:
    """A login whose answer nobody waits for is not made, by whichever way."""
    room = WaysIn()
    arguments = {"loginToken": ("good", None), "loginPassword": (b"alice", b"secret", None)}
    others = (SCRAM_PLUS, b"x") if name == "loginScram" else (None,)
    room.root.callRemote(name, *arguments.get(name, others), pbanswer=False)
    room.exchange()
    assert (room.avatars, room.scram.asked) == ([], [])


@pytest.mark.parametrize("token", [None, 5, b"\xff"])
def test_a_token_that_is_none(token: Any) -> None:
    """A token is text; what is something else does not reach the checker."""
    assert WaysIn().call("loginToken", token, None).check(cred.UnauthorizedLogin)


def test_a_token_that_is_too_long() -> None:
    """Its length is looked at before anything else."""
    failure = WaysIn().call("loginToken", "x" * 8193, None)
    assert failure.getErrorMessage() == "token of 8193 bytes, of 8192"


def test_over_an_open_connection() -> None:
    """What shows a secret is refused where somebody can listen, and a certificate without TLS."""
    room = WaysIn(is_secure=False, binding=None, certificate=None)
    for method, arguments, told in (
        ("loginToken", ("good", None), "a token is taken over TLS or the loopback only"),
        ("loginPassword", (b"a", b"b", None), "a password is taken over TLS or the loopback only"),
        (
            "loginCertificate",
            (None,),
            "this connection has shown no client certificate that was verified",
        ),
    ):
        assert room.call(method, *arguments).getErrorMessage() == told
