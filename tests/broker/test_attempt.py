"""broker.attempt: each way to log in, watched by the guard and told to the audit log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from ways_in import BINDING, WaysIn

import cred
from broker.errors import ServerBusy, TooManyAttempts
from broker.guard import Guard
from broker.net.addresses import IPv4Address
from broker.tally import Allowance
from cred.challenges import respond
from cred.error import LoginUnavailable, UnauthorizedLogin
from cred.interfaces import IScramProof, IUsernamePassword
from cred.scram import SCRAM_PLUS, ScramClient
from cred.workers import QueueFull

WRONG = "wrong user name or password"
LATER = "try again in 17 s"
NAMED = ["SCRAM-SHA-256-PLUS", "password", "challenge"]

Way = Callable[[WaysIn, str, str], Any]


def by_scram(room: WaysIn, name: str, password: str) -> Any:
    """Log in by SCRAM; return the answer, or the Failure."""
    client = ScramClient(name, password, binding=BINDING, plus=True)
    begun = room.call("loginScram", SCRAM_PLUS, client.first())
    if not isinstance(begun, tuple):
        return begun
    server_first, exchange = begun
    return room.get(exchange.callRemote("finish", client.final(server_first), None))


def by_password(room: WaysIn, name: str, password: str) -> Any:
    """Log in with a password."""
    return room.call("loginPassword", name.encode(), password.encode(), None)


def by_challenge(room: WaysIn, name: str, password: str) -> Any:
    """Log in by the challenge."""
    begun = room.call("login", name.encode())
    if not isinstance(begun, tuple):
        return begun
    token, challenger = begun
    return room.get(challenger.callRemote("respond", respond(token, password.encode()), None))


WAYS: dict[str, Way] = dict(zip(NAMED, [by_scram, by_password, by_challenge], strict=True))


@pytest.fixture
def guard() -> Guard:
    """A guard that lets each account fail twice, by a clock that stands."""
    return Guard(account=Allowance(2, 17.0), source=None, connection=None, clock=lambda: 5.0)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what the audit log has so far, without the times."""
    lines = [json.loads(each.message) for each in caplog.records if each.name == "broker.audit"]
    for line in lines:
        del line["time"]
    return lines


@pytest.mark.parametrize("name", ["alice", "eve"])
@pytest.mark.parametrize("way", NAMED)
def test_too_many_for_one_account(way: str, name: str, guard: Guard) -> None:
    """After its failures an account must wait, in the same words whether there is one or not."""
    room = WaysIn(guard=guard)
    for _ in range(2):
        assert WAYS[way](room, name, "guess").getErrorMessage() == WRONG
    refused = WAYS[way](room, name, "secret")
    assert refused.check(TooManyAttempts)
    assert refused.getErrorMessage() == LATER
    assert room.avatars == []


@pytest.mark.parametrize("way", NAMED)
def test_the_ways_share_the_limit(way: str, guard: Guard) -> None:
    """Who has failed by two ways is refused by the third, before anything is looked up."""
    room = WaysIn(guard=guard)
    for other in set(NAMED) - {way}:
        WAYS[other](room, "alice", "guess")
    asked = len(room.scram.asked)
    assert WAYS[way](room, "alice", "secret").getErrorMessage() == LATER
    assert len(room.scram.asked) == asked
    assert room.log_in(cred.Token("good")).broker is room.client


def test_steps_begun_early_are_counted_too(guard: Guard) -> None:
    """Challenges and exchanges that were begun before the limit are refused when answered."""
    room = WaysIn(guard=guard)
    challenges = [room.call("login", b"alice") for _ in range(3)]
    answers = [
        room.get(challenger.callRemote("respond", b"guess", None)).getErrorMessage()
        for _, challenger in challenges
    ]
    assert answers == [WRONG, WRONG, LATER]
    client = ScramClient("bob", "guess", binding=BINDING, plus=True)
    begun = [room.call("loginScram", SCRAM_PLUS, client.first())[1] for _ in range(3)]
    for _ in range(2):
        by_password(room, "bob", "guess")
    assert {
        room.get(exchange.callRemote("finish", b"x", None)).getErrorMessage() for exchange in begun
    } == {LATER}


@pytest.mark.parametrize(
    ("limit", "login"),
    [
        ("source", cred.Token("bad")),
        ("connection", cred.Token("bad")),
        ("source", cred.UsernamePassword("alice", "guess")),
    ],
)
def test_the_other_limits(limit: str, login: Any) -> None:
    """Whatever was wrong counts for source and connection, and binds all ways from there."""
    limits: dict[str, Any] = {"account": None, "source": None, "connection": None}
    limits[limit] = Allowance(2, 17.0)
    room = WaysIn(guard=Guard(clock=lambda: 5.0, **limits))
    room.server.peer.address = IPv4Address("TCP", "198.51.100.7", 53122)
    for _ in range(2):
        assert room.log_in(login).check(UnauthorizedLogin)
    for credentials in (cred.Token("good"), cred.Anonymous(), cred.ClientCertificate()):
        assert room.log_in(credentials).getErrorMessage() == LATER


class Failing:
    """A checker of passwords that fails."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, error: Exception):
        self.error = error

    def requestAvatarId(self, credentials: Any) -> Any:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "shown", "result", "reason"),
    [
        (QueueFull("login queue full"), ServerBusy, "refused", "login queue full"),
        (LoginUnavailable("away"), LoginUnavailable, "refused", "away"),
        (cred.LoginDenied("closed on Sundays"), cred.LoginDenied, "refused", "closed on Sundays"),
        (KeyError("a secret of the program's"), Exception, "failed", "KeyError"),
    ],
)
def test_what_is_nobodys_guess(
    error: Exception,
    shown: type,
    result: str,
    reason: str,
    guard: Guard,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A login that fails for a reason of the server's leaves no mark, and has its line."""
    caplog.set_level(logging.INFO, "broker.audit")
    room = WaysIn(guard=guard)
    room.portal.registerChecker(Failing(error))
    for _ in range(5):
        failure = by_password(room, "alice", "guess")
        assert not failure.check(TooManyAttempts)
        assert shown is Exception or failure.check(shown)
    lines = lines_of(caplog)
    assert len(lines) == 5
    assert (lines[0]["result"], lines[0]["reason"]) == (result, reason)


def test_a_refused_method_is_nobodys_guess(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    """Who asks for the challenge where it is not taken, or shows what is no message, may go on."""
    caplog.set_level(logging.INFO, "broker.audit")
    room = WaysIn(guard=guard, is_secure=False)
    for _ in range(5):
        assert room.call("loginPassword", b"alice", b"secret", None).check(cred.LoginFailed)
        assert room.call("loginScram", SCRAM_PLUS, b"x").check(cred.LoginFailed)
    assert {line["reason"] for line in lines_of(caplog)} == {
        "a password is taken over TLS or the loopback only",
        "SCRAM: the client's first message is malformed",
    }


@pytest.mark.parametrize(
    ("login", "who", "how"),
    [
        (cred.ClientCertificate(), "carol", "certificate"),
        (cred.Scram("alice", "secret", bound=True), "alice", "SCRAM-SHA-256-PLUS"),
        (cred.Token("good"), "bob", "token"),
        (cred.Anonymous(), None, "anonymous"),
    ],
)
def test_who_was_let_in(login: Any, who: str, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each way in has one line for each login, with who it was, whatever they showed for it."""
    caplog.set_level(logging.INFO, "broker.audit")
    room = WaysIn()
    room.log_in(login)
    assert lines_of(caplog) == [
        {"result": "accepted", "user": who, "from": "the client", "how": how}
    ]


@pytest.mark.parametrize("way", NAMED)
def test_why_was_refused(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal has who they say they are and the reason; and nothing they showed is in the log."""
    caplog.set_level(logging.DEBUG)
    room = WaysIn()
    WAYS[way](room, "alice", "open-sesame")
    (line,) = lines_of(caplog)
    assert (line["result"], line["user"], line["how"]) == ("refused", "alice", way)
    assert line["reason"] in (WRONG, "wrong proof")
    assert "open-sesame" not in caplog.text


def test_a_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """A token that is refused is not written down."""
    caplog.set_level(logging.DEBUG)
    WaysIn().log_in(cred.Token("open-sesame"))
    assert lines_of(caplog)[0]["reason"] == "unknown here"
    assert "open-sesame" not in caplog.text


def test_scram_without_a_store_of_its_own(guard: Guard) -> None:
    """A way for which there is no checker is refused as such, and leaves no mark."""
    room = WaysIn(guard=guard)
    room.take_away(IScramProof)
    for _ in range(3):
        client = ScramClient("alice", "secret", binding=BINDING, plus=True)
        assert room.call("loginScram", SCRAM_PLUS, client.first()).check(cred.UnhandledCredentials)
