"""User names as str and as bytes: what checkers and realms get, and that both are one user."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from support.ways_in import Avatar, WaysIn
from zope.interface import implementer

import cred
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import TooManyAttempts
from broker.login.throttle import LoginThrottle
from broker.token_bucket import Rate
from cred.challenges import respond
from cred.checkers import ICredentialsChecker
from cred.credentials import IScramProof, IUsernameHashedPassword, IUsernamePassword

NAMES = ["alice", b"alice"]
OPEN = STRICT.but(challenge_login=True)


@implementer(ICredentialsChecker)
class Noting:
    """Lets everybody in, as the id that it was made with or as the name that was shown."""

    credentialInterfaces: Any = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self, avatar_id: Any = None):
        self.avatar_id = avatar_id
        self.shown: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        """Note what was shown."""
        self.shown.append((credentials.username, getattr(credentials, "password", None)))
        return credentials.username if self.avatar_id is None else self.avatar_id


class Room(WaysIn):
    """A server of which a checker and the realm note what they get.

    Attributes:
        checker: the checker.
        avatar_ids: what the realm got.
    """

    def __init__(
        self, policy: Policy, kind: Any = IUsernamePassword, avatar_id: Any = None, **options: Any
    ):
        super().__init__(policy=policy, connect=False, **options)
        self.checker = Noting(avatar_id)
        self.avatar_ids: list[Any] = []
        self.portal.checkers = {kind: self.checker}

    def make_avatar(self, avatar_id: Any, mind: Any) -> Avatar:
        """Be the realm."""
        self.avatar_ids.append(avatar_id)
        return super().make_avatar(avatar_id, mind)


def same(found: list[Any], expected: list[Any]) -> bool:
    """Return whether two lists are equal, and the types in them too."""
    return repr(found) == repr(expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [IUsernamePassword, IUsernameHashedPassword])
@pytest.mark.parametrize("dialect", ["msgpack/1", "pb", "none"])
def test_published_types(name: Any, kind: Any, dialect: str) -> None:
    """Under the published policy checker and realm get the type that the client was given."""
    room = Room(PUBLISHED.but(dialects=(dialect,)), kind)
    room.log_in(cred.UsernamePassword(name, "secret"))
    room.log_in(cred.UsernamePassword(name, b"secret"))
    secrets = ["secret", b"secret"] if kind is IUsernamePassword else [None, None]
    assert same(room.checker.shown, [(name, secret) for secret in secrets])
    assert same(room.avatar_ids, [name, name])
    assert room.server.peer.avatar_id == "alice"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("password", ["secret", b"secret"])
def test_strict_types(name: Any, password: Any) -> None:
    """Under the strict policy a name is a str and a password is bytes, whatever was given."""
    room = Room(OPEN)
    room.log_in(cred.UsernamePassword(name, password))
    assert same(room.checker.shown, [("alice", b"secret")])
    assert same(room.avatar_ids, ["alice"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [IUsernamePassword, IUsernameHashedPassword])
@pytest.mark.parametrize(
    ("client", "crosses"), [(OPEN, bytes), (OPEN.but(text_user_names=False), None)]
)
def test_what_a_client_sends(client: Policy, crosses: Any, kind: Any, name: Any) -> None:
    """Where names are text a client sends bytes, and else what it was given; passwords too."""
    room = Room(PUBLISHED, kind, client_policy=client)
    room.log_in(cred.UsernamePassword(name, "secret"))
    ((username, password),) = room.checker.shown
    assert type(username) is (crosses or type(name))
    assert password is None or type(password) is (crosses or str)


@pytest.mark.parametrize(
    ("policy", "returned", "arrives"),
    [
        (PUBLISHED, b"carol", b"carol"),
        (PUBLISHED, "carol", "carol"),
        (PUBLISHED, b"\xff", b"\xff"),
        (OPEN, b"carol", "carol"),
        (OPEN, "carol", "carol"),
    ],
)
def test_what_a_checker_returns(policy: Policy, returned: Any, arrives: Any) -> None:
    """The realm gets what the checker returned; under the strict policy as a str."""
    room = Room(policy, avatar_id=returned)
    room.log_in(cred.UsernamePassword("alice", "secret"))
    assert same(room.avatar_ids, [arrives])


def test_a_checker_that_returns_no_text(caplog: pytest.LogCaptureFixture) -> None:
    """Under the strict policy an avatar id that is no text lets nobody in, and the log says so."""
    room = Room(OPEN, avatar_id=b"\xff")
    failure = room.log_in(cred.UsernamePassword("alice", "secret"))
    assert "internal error" in failure.getErrorMessage()
    assert room.avatar_ids == []
    assert room.server.session.gate is not None
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "bytes that are not UTF-8" in str(record.exc_info[1])


def test_groups_are_kept() -> None:
    """An Identity reaches the realm with its groups, under both policies."""
    for policy in (PUBLISHED, OPEN):
        room = Room(policy, avatar_id=cred.Identity("carol", ["staff"]))
        room.log_in(cred.UsernamePassword(b"alice", "secret"))
        assert room.avatar_ids[0].groups == {"staff"}
        assert room.server.peer.groups == {"staff"}


def challenged(room: WaysIn, name: Any) -> Any:
    """Answer a challenge for a user wrongly; return the failure."""
    begun = room.call("login", name)
    if not isinstance(begun, tuple):
        return begun
    token, challenger = begun
    return room.get(challenger.callRemote("respond", respond(token, b"guess"), None))


def guessed(room: WaysIn, name: Any) -> Any:
    """Show a wrong password for a user; return the failure."""
    return room.call("loginPassword", name, b"guess", None)


@pytest.mark.parametrize("attempt", [guessed, challenged])
@pytest.mark.parametrize("policy", [PUBLISHED, OPEN])
def test_the_throttle_counts_one_account(attempt: Any, policy: Policy) -> None:
    """Who guesses for a user under both types, in turn, has no more guesses than under one."""
    throttle = LoginThrottle(account=Rate(4, 30.0), source=None, connection=None, clock=lambda: 0.0)
    room = WaysIn(policy=policy, throttle=throttle)
    for number in range(4):
        assert attempt(room, NAMES[number % 2]).check(cred.UnauthorizedLogin)
    for name in NAMES:
        assert attempt(room, name).check(TooManyAttempts)
        assert room.log_in(cred.UsernamePassword(name, "secret")).check(TooManyAttempts)
    assert attempt(room, "bob").check(cred.UnauthorizedLogin)


def test_a_login_is_remembered_for_both_types() -> None:
    """Whence a user has logged in as bytes, that user is known as a str."""
    throttle = LoginThrottle(account=Rate(2, 30.0), source=None, connection=None, clock=lambda: 0.0)
    room = WaysIn(policy=PUBLISHED, throttle=throttle)
    guessed(room, "alice")
    room.log_in(cred.UsernamePassword(b"alice", "secret"))
    for _ in range(2):
        assert guessed(room, "alice").check(cred.UnauthorizedLogin)
    assert guessed(room, "alice").check(TooManyAttempts)


def test_the_audit_log_has_one_user(caplog: pytest.LogCaptureFixture) -> None:
    """The lines about a user are the same for both types."""
    caplog.set_level(logging.INFO, "broker.audit")
    lines = []
    for name in NAMES:
        caplog.clear()
        room = WaysIn(policy=PUBLISHED, connect=False)
        room.take_away(IScramProof)
        guessed(room, name)
        challenged(room, name)
        room.log_in(cred.UsernamePassword(name, "secret"))
        assert room.server.peer.avatar_id == "alice"
        written = [json.loads(r.getMessage()) for r in caplog.records if r.name == "broker.audit"]
        for line in written:
            del line["time"]
        lines.append(written)
    assert len(lines[0]) == 3
    assert {line["user"] for line in lines[0]} == {"alice"}
    assert lines[0] == lines[1]


def test_the_current_call_has_text() -> None:
    """Methods see a user of either type as text."""
    for name in NAMES:
        room = Room(PUBLISHED)
        avatar = room.log_in(cred.UsernamePassword(name, "secret"))
        assert room.get(room.get(avatar.callRemote("give")).callRemote("whoami")) == "alice"
