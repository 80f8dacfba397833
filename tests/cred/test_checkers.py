"""cred.checkers: from credentials to an avatar id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import twisted.cred.credentials
import twisted.cred.error
import twisted.internet.defer
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse as Theirs
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

import cred
from broker.defer import Deferred, succeed
from cred.challenges import challenge, hash_password, respond, verify
from cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import (
    Anonymous,
    IAnonymous,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernameHashedPassword,
    UsernamePassword,
)
from cred.error import UnauthorizedLogin
from cred.octets import other_form, to_octets

Outcome = Callable[[Any], Any]


@implementer(IUsernameHashedPassword)
class Told:
    """Credentials whose answer is decided by the test; they remember what they were asked."""

    def __init__(self, username: Any, answer: Any) -> None:
        self.username = username
        self.answer = answer
        self.asked: list[Any] = []

    def checkPassword(self, password: Any) -> Any:
        """Give the answer, or raise it."""
        self.asked.append(password)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@implementer(IUsernameHashedPassword)
class ChallengeAnswer:
    """What a PB login shows: an answer to a challenge."""

    def __init__(self, username: Any, password: Any) -> None:
        self.username = username
        self.challenge = challenge()
        self.response = respond(self.challenge, password)

    def checkPassword(self, password: Any) -> bool:
        """Verify the answer to the challenge."""
        try:
            verify(self.challenge, self.response, hash_password(password))
        except UnauthorizedLogin:
            return False
        return True


def make_database() -> InMemoryUsernamePasswordDatabaseDontUse:
    """Two users, one of them with a password in bytes."""
    return InMemoryUsernamePasswordDatabaseDontUse(alice="secret", bob=b"hunter2")


@pytest.mark.parametrize("checker", [AllowAnonymousAccess(), make_database()])
def test_checkers_fulfil_the_interface(checker: Any) -> None:
    """Each checker provides ICredentialsChecker and has all that it asks for."""
    assert verifyClass(ICredentialsChecker, type(checker))
    assert verifyObject(ICredentialsChecker, checker)


def test_checkers_take_the_published_kinds() -> None:
    """The kinds of credentials that each takes are Twisted's."""
    assert list(AllowAnonymousAccess.credentialInterfaces) == [IAnonymous]
    assert list(make_database().credentialInterfaces) == [
        IUsernamePassword,
        IUsernameHashedPassword,
    ]


def test_anonymous_is_the_empty_tuple(outcome: Outcome) -> None:
    """Who asks to be nobody gets the published id, at once and as a Deferred."""
    answer = AllowAnonymousAccess().requestAvatarId(Anonymous())
    assert isinstance(answer, Deferred)
    assert outcome(answer) == ANONYMOUS == ()


@pytest.mark.parametrize("username", ["alice", b"alice"])
@pytest.mark.parametrize("password", ["secret", b"secret"])
@pytest.mark.parametrize("added", ["alice", b"alice"])
def test_right_password_gives_the_user_name_as_added(
    username: Any, password: Any, added: Any, outcome: Outcome
) -> None:
    """A user has one avatar id, the name in the form in which it was added, whichever is shown."""
    database = make_database()
    database.addUser(added, "secret")
    clear = database.requestAvatarId(UsernamePassword(username, password))
    hashed = database.requestAvatarId(UsernameHashedPassword(username, password))
    challenged = database.requestAvatarId(ChallengeAnswer(username, password))
    for answer in (clear, hashed, challenged):
        avatar_id = outcome(answer)
        assert (type(avatar_id), avatar_id) == (type(added), added)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", "hunter2"),
        ("nobody", "secret"),
        ("", ""),
        ("ALICE", "secret"),
        (b"\xff", "secret"),
        ("\ud800", "secret"),
    ],
)
@pytest.mark.parametrize("kind", [UsernamePassword, UsernameHashedPassword, ChallengeAnswer])
def test_wrong_login_has_one_error(
    kind: Any, username: Any, password: Any, outcome: Outcome
) -> None:
    """A wrong password and an unknown user fail with the same class and the same text."""
    with pytest.raises(UnauthorizedLogin) as caught:
        outcome(make_database().requestAvatarId(kind(username, password)))
    assert type(caught.value) is UnauthorizedLogin
    assert caught.value.args == ("wrong user name or password",)


@pytest.mark.parametrize("username", [None, 7, [b"alice"], {"alice": 1}, ()])
def test_user_name_of_another_type_is_an_unknown_user(username: Any, outcome: Outcome) -> None:
    """A user name that is no text is refused like any unknown one."""
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        outcome(make_database().requestAvatarId(UsernamePassword(username, "secret")))


def test_unknown_user_costs_the_same_comparison() -> None:
    """An unknown user's password is compared once too, with text that nobody can guess."""
    known, unknown = Told("alice", False), Told("nobody", False)
    first, second = make_database(), make_database()
    for database, credentials in ((first, known), (first, unknown), (second, unknown)):
        database.requestAvatarId(credentials).addErrback(lambda failure: None)
    assert known.asked == ["secret"]
    assert [(type(asked), len(asked)) for asked in unknown.asked] == [(str, 32), (str, 32)]
    assert len(set(unknown.asked)) == 2


def test_unknown_user_is_refused_whatever_the_comparison_says(outcome: Outcome) -> None:
    """No answer of the comparison lets an unknown user in."""
    credentials = Told("nobody", True)
    with pytest.raises(UnauthorizedLogin):
        outcome(make_database().requestAvatarId(credentials))
    assert len(credentials.asked) == 1


def test_credentials_may_answer_later(outcome: Outcome) -> None:
    """checkPassword may give a Deferred, ours or Twisted's, that says yes or no."""
    theirs = twisted.internet.defer.succeed
    for make in (succeed, theirs):
        assert outcome(make_database().requestAvatarId(Told("alice", make(True)))) == b"alice"
        with pytest.raises(UnauthorizedLogin):
            outcome(make_database().requestAvatarId(Told("alice", make(False))))


async def test_credentials_may_answer_with_an_awaitable() -> None:
    """CheckPassword may be async, and wait for something on the loop."""

    async def yes() -> bool:
        await asyncio.sleep(0)
        return True

    async def main() -> Any:
        return await make_database().requestAvatarId(Told("alice", yes()))

    assert await main() == b"alice"


def test_error_of_the_credentials_is_the_failure(outcome: Outcome) -> None:
    """What checkPassword raises is the failure of the Deferred, not an exception of the call."""
    answer = make_database().requestAvatarId(Told("alice", ZeroDivisionError("broken")))
    with pytest.raises(ZeroDivisionError, match="broken"):
        outcome(answer)


def test_user_name_is_read_once(outcome: Outcome) -> None:
    """The avatar id is the name that was looked up, even if the credentials change meanwhile."""
    waiting: Deferred[bool] = Deferred()
    credentials = Told("alice", waiting)
    answer = make_database().requestAvatarId(credentials)
    credentials.username = "bob"
    waiting.callback(True)
    assert outcome(answer) == b"alice"


def test_users_are_kept_as_given() -> None:
    """The published `users` has what Twisted's has: names that were keywords are bytes."""
    for kind in (InMemoryUsernamePasswordDatabaseDontUse, Theirs):
        database: Any = kind(eve="sésame", bob=b"hunter2")
        database.addUser(b"carol", "c")
        database.addUser("dave", b"d")
        assert database.users == {b"eve": "sésame", b"bob": b"hunter2", b"carol": "c", "dave": b"d"}


def test_users_may_be_set(outcome: Outcome) -> None:
    """A program may put a user into `users` itself, in either form."""
    database = make_database()
    database.users["carol"], database.users[b"dave"] = b"c", b"d"
    for added in ("carol", b"dave"):
        for name in (added, other_form(added)):
            shown = UsernamePassword(name, added[:1])
            assert outcome(database.requestAvatarId(shown)) == added


SHOWN = [
    (username, password)
    for username in ("alice", b"alice", "bob", b"bob", "eve", b"eve", "ALICE", b"ALICE", "", b"")
    for password in ("secret", b"secret", "guess", b"guess")
]


@pytest.mark.parametrize("password", ["secret", b"secret"])
@pytest.mark.parametrize("username", ["alice", b"alice"])
def test_who_is_let_in_by_twisted(username: Any, password: Any, outcome: Outcome) -> None:
    """Whom Twisted's lets in, ours lets in, as the same avatar id of the same type.

    Twisted's lets in nobody whose name or password was added in another type; ours does, and the
    avatar id is the one that Twisted's has for that user. What is wrong is refused by both.
    """
    ours: Any = InMemoryUsernamePasswordDatabaseDontUse(bob=password)
    theirs: Any = Theirs(bob=password)
    for database in (ours, theirs):
        database.addUser(username, password)
    for name, shown in SHOWN:
        let_in = []
        for database, module in ((ours, cred), (theirs, twisted.cred.credentials)):
            made = module.UsernamePassword(name, shown)
            try:
                let_in.append(outcome(database.requestAvatarId(made)))
            except (UnauthorizedLogin, twisted.cred.error.UnauthorizedLogin):
                let_in.append(None)
        is_right = to_octets(name) in (b"alice", b"bob") and to_octets(shown) == b"secret"
        known = username if to_octets(name) == b"alice" else b"bob"
        assert let_in[0] == (known if is_right else None)
        is_exact = type(name) is type(known) and type(shown) is type(password)
        assert let_in[1] == (known if is_right and is_exact else None)


def test_add_user_replaces_the_password(outcome: Outcome) -> None:
    """Adding a user again, in either form of the name, sets a new password."""
    database = make_database()
    for added, password in ((b"alice", "new"), ("alice", "newer"), (b"alice", "newest")):
        database.addUser(added, password)
        assert len(database.users) == 2
        for shown in ("alice", b"alice"):
            right = UsernamePassword(shown, password)
            assert outcome(database.requestAvatarId(right)) == added
            with pytest.raises(UnauthorizedLogin):
                outcome(database.requestAvatarId(UsernamePassword(shown, "secret")))


def test_any_keyword_can_be_a_user_name() -> None:
    """No user name is taken by a parameter of the constructor."""
    assert InMemoryUsernamePasswordDatabaseDontUse(self="x").users == {b"self": "x"}


@pytest.mark.parametrize(("username", "password"), [(None, "x"), ("x", None), (7, "x")])
def test_add_user_refuses_what_is_no_text(username: Any, password: Any) -> None:
    """A user name or password of another type is a TypeError, and no user is added."""
    database = make_database()
    with pytest.raises(TypeError, match="is str or bytes, not"):
        database.addUser(username, password)
    assert len(database.users) == 2
