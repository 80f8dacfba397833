"""broker.login.context: each way to log in, watched by the throttle and told to the audit log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from support.ways_in import BINDING, WaysIn

import cred
from broker.errors import ServerBusy, TooManyAttempts
from broker.login.throttle import LoginThrottle
from broker.net.socket_addresses import IPv4Address
from broker.token_bucket import Rate
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
def throttle() -> LoginThrottle:
    """A throttle that lets each account fail twice, by a clock that stands."""
    return LoginThrottle(account=Rate(2, 17.0), source=None, connection=None, clock=lambda: 5.0)


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what the audit log has so far, without the times."""
    lines = [json.loads(each.message) for each in caplog.records if each.name == "broker.audit"]
    for line in lines:
        del line["time"]
    return lines


@pytest.mark.parametrize("name", ["alice", "eve"])
@pytest.mark.parametrize("way", NAMED)
def test_too_many_for_one_account(way: str, name: str, throttle: LoginThrottle) -> None:
    """After its failures an account must wait, in the same words whether there is one or not."""
    room = WaysIn(throttle=throttle)
    for _ in range(2):
        assert WAYS[way](room, name, "guess").getErrorMessage() == WRONG
    refused = WAYS[way](room, name, "secret")
    assert refused.check(TooManyAttempts)
    assert refused.getErrorMessage() == LATER
    assert room.avatars == []


@pytest.mark.parametrize("way", NAMED)
def test_the_ways_share_the_limit(way: str, throttle: LoginThrottle) -> None:
    """Who has failed by two ways is refused by the third, before anything is looked up."""
    room = WaysIn(throttle=throttle)
    for other in set(NAMED) - {way}:
        WAYS[other](room, "alice", "guess")
    asked = len(room.scram.asked)
    assert WAYS[way](room, "alice", "secret").getErrorMessage() == LATER
    assert len(room.scram.asked) == asked
    assert room.log_in(cred.Token("good")).broker is room.client


def test_steps_begun_early_are_counted_too(throttle: LoginThrottle) -> None:
    """Challenges and exchanges that were begun before the limit are refused when answered."""
    room = WaysIn(throttle=throttle)
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
    limits[limit] = Rate(2, 17.0)
    room = WaysIn(throttle=LoginThrottle(clock=lambda: 5.0, **limits))
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
    throttle: LoginThrottle,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A login that fails for a reason of the server's leaves no mark, and has its line."""
    caplog.set_level(logging.INFO, "broker.audit")
    room = WaysIn(throttle=throttle)
    room.portal.registerChecker(Failing(error))
    for _ in range(5):
        failure = by_password(room, "alice", "guess")
        assert not failure.check(TooManyAttempts)
        assert shown is Exception or failure.check(shown)
    lines = lines_of(caplog)
    assert len(lines) == 5
    assert (lines[0]["result"], lines[0]["reason"]) == (result, reason)


def test_a_refused_method_is_nobodys_guess(caplog: pytest.LogCaptureFixture) -> None:
    """Who asks for a way that is not taken here may go on."""
    caplog.set_level(logging.INFO, "broker.audit")
    throttle = LoginThrottle(connection=Rate(2, 17.0), clock=lambda: 5.0)
    room = WaysIn(throttle=throttle, is_secure=False, binding=None)
    for _ in range(5):
        assert room.call("loginPassword", b"alice", b"secret", None).check(cred.LoginFailed)
        assert room.call("login", b"alice").check(cred.LoginFailed)
        assert room.call("loginScram", SCRAM_PLUS, b"x").check(cred.LoginFailed)
        assert room.call("loginScram", "SCRAM-MD4", b"x").check(cred.LoginFailed)
    assert {line["reason"][:20] for line in lines_of(caplog)} == {
        "a password is taken ",
        "this server does not",
        "SCRAM is done here w",
        "SCRAM-SHA-256-PLUS i",
    }


FIRST = b"p=tls-exporter,,n=alice,r=nonce"
MALFORMED: list[tuple[str, tuple[Any, ...]]] = [
    *(("loginToken", (token, None)) for token in (None, 5, True, 1.5, "", b"\xff", "x" * 9000)),
    *(("loginPassword", (b"alice", word, None)) for word in (None, 5, 1.5, "x" * 2000)),
    *(("loginPassword", (name, b"x", None)) for name in (None, 5, b"", b"\xff", "x" * 300)),
    *(("loginScram", (SCRAM_PLUS, first)) for first in (None, 5, "x", b"", b"x", b"y" + FIRST)),
    *(("login", (name,)) for name in (None, 5, True, b"x" * 300)),
]
FINALS = [None, 5, "x", b"", b"x", b"c=,r=,p=", b"c=biws,r=nonce,p=AAAA"]
RESPONSES = [None, 5, "x", b"", b"x" * 16, True]


@pytest.mark.parametrize(("method", "shown"), MALFORMED)
def test_what_is_malformed_counts(
    method: str, shown: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """What is no credential is a wrong one: counted, with one line and without a traceback."""
    room = WaysIn(throttle=LoginThrottle(connection=Rate(2, 17.0), clock=lambda: 5.0))
    for _ in range(2):
        failure = room.call(method, *shown)
        if not hasattr(failure, "check"):
            # A challenge is given for any name; it is the answer that is wrong.
            failure = room.get(failure[1].callRemote("respond", None, None))
        assert failure.check(UnauthorizedLogin)
    assert [record.exc_info for record in caplog.records] == [None, None]
    assert room.log_in(cred.Token("good")).getErrorMessage() == LATER


@pytest.mark.parametrize(("step", "shown"), [
    *(("finish", each) for each in FINALS), *(("respond", each) for each in RESPONSES)
])  # fmt: skip
def test_a_malformed_second_step_counts(
    step: str, shown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """So is it with the second message of a login that has two."""
    room = WaysIn(throttle=LoginThrottle(connection=Rate(2, 17.0), clock=lambda: 5.0))
    for _ in range(2):
        begin = ("login", b"alice") if step == "respond" else ("loginScram", SCRAM_PLUS, FIRST)
        _, second = room.call(*begin)
        assert room.get(second.callRemote(step, shown, None)).check(UnauthorizedLogin)
    assert [record.exc_info for record in caplog.records] == [None, None]
    assert room.log_in(cred.Token("good")).getErrorMessage() == LATER


def test_a_mechanism_that_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a mechanism does not expect is a wrong login: counted, and told by the audit log."""
    caplog.set_level(logging.INFO)

    def broken(token: str) -> Any:
        raise TypeError("unhashable type: 'list'")

    monkeypatch.setattr("broker.login.mechanisms.token.Token", broken)
    room = WaysIn(throttle=LoginThrottle(connection=Rate(2, 17.0), clock=lambda: 5.0))
    for _ in range(2):
        assert room.call("loginToken", "x", None).getErrorMessage() == WRONG
    assert room.call("loginToken", "x", None).getErrorMessage() == LATER
    assert lines_of(caplog)[0]["reason"] == "not understood: TypeError"
    assert all(record.exc_info is None for record in caplog.records)


def test_a_checker_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """What a checker of the application's raises is in the log, with its traceback."""
    room = WaysIn()
    room.portal.registerChecker(Failing(KeyError("a secret of the program's")))
    by_password(room, "alice", "guess")
    (record,) = caplog.records
    assert record.exc_info is not None


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
    assert line["reason"] == "wrong password"
    assert "open-sesame" not in caplog.text


class LoginTracer:
    """Records logins; the other reports are ignored."""

    def __init__(self) -> None:
        self.logins: list[tuple[str, bool, str]] = []

    def login(self, mechanism: str, is_accepted: bool, reason: str) -> None:
        """Record it."""
        self.logins.append((mechanism, is_accepted, reason))

    def __getattr__(self, name: str) -> Any:
        return lambda *told: None


@pytest.mark.parametrize("way", NAMED)
def test_what_a_tracer_is_told(way: str) -> None:
    """A tracer is told of each login, with the reason of a refusal and without secrets."""
    room = WaysIn()
    tracer: Any = LoginTracer()
    room.server.session.trace(tracer)
    WAYS[way](room, "alice", "open-sesame")
    WAYS[way](room, "alice", "secret")
    assert tracer.logins == [(way, False, "wrong password"), (way, True, "")]


def test_a_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """A token that is refused is not written down."""
    caplog.set_level(logging.DEBUG)
    WaysIn().log_in(cred.Token("open-sesame"))
    assert lines_of(caplog)[0]["reason"] == "unknown here"
    assert "open-sesame" not in caplog.text


def test_scram_without_a_store_of_its_own(throttle: LoginThrottle) -> None:
    """A way for which there is no checker is refused as such, and leaves no mark."""
    room = WaysIn(throttle=throttle, connect=False)
    room.take_away(IScramProof)
    for _ in range(3):
        client = ScramClient("alice", "secret", binding=BINDING, plus=True)
        assert room.call("loginScram", SCRAM_PLUS, client.first()).check(cred.UnhandledCredentials)
