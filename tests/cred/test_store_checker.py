"""cred.store_checker: who is let in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.users_in_a_store import CHEAP, HASH, SCRAM_VERIFIER, STAFF, Outcome, refusal
from zope.interface import implementer
from zope.interface.verify import verifyObject

from broker.errors import ConfigError
from cred.checkers import ICredentialsChecker
from cred.credentials import UsernamePassword
from cred.error import WRONG_LOGIN, LoginUnavailable
from cred.identity import Identity
from cred.interfaces import IScramProof, IUsernamePassword
from cred.passwords import Profile
from cred.portal import Portal
from cred.scram_verifier import ITERATIONS, ScramVerifier
from cred.store_checker import UNAVAILABLE, StoreChecker
from cred.stores.files import FileStore
from cred.users import StoreUnavailable, User, UserStore
from cred.workers import QueueFull, Workers


@implementer(IScramProof)
class Proof:
    """What a SCRAM exchange that has succeeded leaves."""

    def __init__(self, username: str | bytes, verifier: ScramVerifier) -> None:
        self.username = username
        self.verifier = verifier


def test_it_is_a_checker(checker: StoreChecker) -> None:
    """It provides ICredentialsChecker."""
    assert verifyObject(ICredentialsChecker, checker)


def test_scram_is_offered_where_all_can_use_it(tmp_path: Path) -> None:
    """A client would choose it, so one user with an Argon2id hash is enough to leave it out."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    assert StoreChecker(store).credentialInterfaces == (IScramProof, IUsernamePassword)
    store.add(User("cert"))
    store.add(User("sam", str(SCRAM_VERIFIER)))
    assert StoreChecker(store).credentialInterfaces == (IScramProof, IUsernamePassword)
    store.add(User("alice", HASH))
    assert StoreChecker(store).credentialInterfaces == (IUsernamePassword,)


@pytest.mark.parametrize(
    ("name", "groups"),
    [("alice", STAFF), (b"alice", STAFF), ("zoë", ()), ("zoe\u0308", ()), ("sam", STAFF)],
)
@pytest.mark.parametrize("password", ["wonderland", b"wonderland"])
def test_the_right_password(
    checker: StoreChecker, outcome: Outcome, name: Any, groups: Any, password: Any
) -> None:
    """A user of either kind gets in, and is who the store says, with the store's groups."""
    identity = outcome(checker.requestAvatarId(UsernamePassword(name, password)))
    assert type(identity) is Identity
    assert identity in ("alice", "zoë", "sam")
    assert identity.groups == frozenset(groups)
    assert identity.expires is None


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("alice", "looking glass", "wrong password"),
        ("sam", "looking glass", "wrong password"),
        ("bob", "wonderland", "unknown user"),
        ("Alice", "wonderland", "unknown user"),
        ("dora", "wonderland", "disabled user"),
        ("dora", "looking glass", "disabled user"),
        ("cert", "wonderland", "user without password"),
        ("cert", "", "user without password"),
        ("alice", "", "wrong password"),
        ("alice", "w" * 1025, "wrong password"),
        ("alice", b"\xff", "wrong password"),
        ("odd", "wonderland", "damaged verifier"),
        ("a" * 257, "wonderland", "no possible user name"),
        ("é" * 129, "wonderland", "no possible user name"),
        ("a\nb", "wonderland", "no possible user name"),
        ("\ud800", "wonderland", "no possible user name"),
        (b"\xff", "wonderland", "no possible user name"),
        (5, "wonderland", "no possible user name"),
        ("", "wonderland", "unknown user"),
    ],
)
def test_one_reply_for_all_that_is_wrong(
    checker: StoreChecker, outcome: Outcome, name: Any, password: Any, reason: str
) -> None:
    """The peer reads the same for everything; the reason is for the log."""
    assert refusal(outcome, checker, UsernamePassword(name, password)) == (WRONG_LOGIN, reason)


def test_scram_goes_on_with_the_users_verifier(checker: StoreChecker, outcome: Outcome) -> None:
    """A user with a SCRAM verifier is given that one."""
    assert outcome(checker.scramVerifier("sam")) == SCRAM_VERIFIER
    assert outcome(checker.scramVerifier(b"sam")) == SCRAM_VERIFIER


@pytest.mark.parametrize(
    "name", ["bob", "alice", "dan", "cert", "odd", "", "\n", b"\xff", "a" * 257]
)
def test_scram_goes_on_with_that_of_nobody(
    checker: StoreChecker, store: FileStore, outcome: Outcome, name: Any
) -> None:
    """Anybody else gets what looks like one: the same each time, and from each checker."""
    first = outcome(checker.scramVerifier(name))
    assert first == outcome(StoreChecker(store, profile=CHEAP).scramVerifier(name))
    assert first == ScramVerifier.of_nobody(store.secret(), name, 4096)
    assert first != SCRAM_VERIFIER


def test_nobody_has_as_many_iterations_as_the_users(tmp_path: Path, outcome: Outcome) -> None:
    """Where the users have SCRAM verifiers, an unknown one does not stand out by the number."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    checker = StoreChecker(store)
    assert outcome(checker.scramVerifier("bob")).iterations == ITERATIONS
    store.add(User("sam", str(SCRAM_VERIFIER)))
    assert outcome(checker.scramVerifier("bob")).iterations == 4096


def test_a_proof(checker: StoreChecker, outcome: Outcome) -> None:
    """Who has proven to know the password gets in, with the groups of the store."""
    identity = outcome(checker.requestAvatarId(Proof("sam", SCRAM_VERIFIER)))
    assert identity == "sam"
    assert identity.groups == STAFF


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda store: store.remove("sam"), "unknown user"),
        (
            lambda store: store.replace(User("sam", str(SCRAM_VERIFIER), is_disabled=True)),
            "disabled user",
        ),
        (lambda store: store.replace(User("sam", HASH)), "password changed meanwhile"),
        (lambda store: store.replace(User("sam")), "user without password"),
    ],
)
def test_what_changes_during_an_exchange(
    checker: StoreChecker,
    store: FileStore,
    outcome: Outcome,
    change: Callable[[UserStore], None],
    reason: str,
) -> None:
    """A user who is removed, disabled or given another password meanwhile does not get in."""
    change(store)
    assert refusal(outcome, checker, Proof("sam", SCRAM_VERIFIER)) == (WRONG_LOGIN, reason)


def test_weak_hashes_are_made_anew_at_login(store: FileStore, outcome: Outcome) -> None:
    """The right password is hashed at today's cost; a wrong one changes nothing."""
    today = Profile(128, 1, 1)
    checker = StoreChecker(store, profile=today)
    refusal(outcome, checker, UsernamePassword("alice", "looking glass"))
    assert store.find("alice") == User("alice", HASH, STAFF)
    outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland")))
    user = store.find("alice")
    assert user is not None
    assert user.verifier is not None
    assert user.verifier.startswith("$argon2id$v=19$m=128,t=1,p=1$")
    assert user.groups == STAFF
    outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland")))
    assert store.find("alice") == user


class Faulty:
    """A store some of whose methods fail, or do something first."""

    def __init__(self, store: UserStore) -> None:
        self._store = store
        self.errors: dict[str, Exception] = {}
        self.before: dict[str, Callable[[], None]] = {}

    def __getattr__(self, name: str) -> Any:
        self.before.pop(name, lambda: None)()
        if name in self.errors:
            raise self.errors[name]
        return getattr(self._store, name)


def test_a_hash_that_cannot_be_written(
    store: FileStore, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """The login succeeds all the same, and the log has a line."""
    faulty = Faulty(store)
    faulty.errors["replace"] = StoreUnavailable("users.db cannot be written: no space")
    checker = StoreChecker(faulty, profile=Profile(128, 1, 1))
    assert outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland"))) == "alice"
    assert [record.getMessage() for record in caplog.records] == [
        "a password could not be hashed again: users.db cannot be written: no space"
    ]


def test_a_new_hash_undoes_nothing(store: FileStore, outcome: Outcome) -> None:
    """A user who is disabled between the check and the writing stays disabled."""
    faulty = Faulty(store)
    disabled = User("alice", HASH, is_disabled=True)
    faulty.before["replace"] = lambda: store.replace(disabled)
    checker = StoreChecker(faulty, profile=Profile(128, 1, 1))
    outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland")))
    assert store.find("alice") == disabled


@pytest.mark.parametrize(
    "error", [StoreUnavailable("it is away"), ConfigError("it is readable by others")]
)
def test_a_store_that_is_away(
    store: FileStore, outcome: Outcome, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """A login then fails as unavailable, not as wrong; the log tells why, once, and of the end."""
    caplog.set_level(logging.INFO, "broker.cred")
    faulty = Faulty(store)
    checker = StoreChecker(faulty, profile=CHEAP)
    faulty.errors = {"find": error, "secret": error}
    for asked in (
        lambda: checker.requestAvatarId(UsernamePassword("alice", "wonderland")),
        lambda: checker.requestAvatarId(Proof("sam", SCRAM_VERIFIER)),
        lambda: checker.scramVerifier("sam"),
    ):
        with pytest.raises(LoginUnavailable) as caught:
            outcome(asked())
        assert str(caught.value) == UNAVAILABLE
        assert caught.value.__cause__ is None
    faulty.errors = {}
    assert outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland"))) == "alice"
    assert [record.getMessage() for record in caplog.records] == [
        f"no user can log in: {error}",
        "the user store is available again",
    ]


@pytest.mark.row("C4")
async def test_too_many_at_once(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login for which there is no room fails at once, as QueueFull."""
    checker = StoreChecker(store, profile=CHEAP, workers=Workers(threads=1, queue=0))
    find, held = store.find, threading.Event()

    def find_when_let(name: Any) -> Any:
        held.wait(10)
        return find(name)

    monkeypatch.setattr(store, "find", find_when_let)

    first = checker.requestAvatarId(UsernamePassword("alice", "wonderland"))
    try:
        with pytest.raises(QueueFull):
            await checker.requestAvatarId(UsernamePassword("alice", "wonderland"))
    finally:
        held.set()
    assert await first == "alice"


async def test_it_stands_in_a_portal(checker: StoreChecker) -> None:
    """A realm gets the Identity as the avatar id."""
    given: list[Any] = []

    class Realm:
        """Notes who comes."""

        def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
            given.append(avatarId)
            return interfaces[0], object(), lambda: None

    portal = Portal(Realm(), [checker])
    await portal.login(UsernamePassword("alice", "wonderland"), None, IUsernamePassword)
    assert [(each, each.groups) for each in given] == [("alice", STAFF)]


def test_closing(checker: StoreChecker, store: FileStore) -> None:
    """Closing the checker closes its store; a file is opened again by the next use."""
    checker.close()
    assert store._cached is None


@pytest.mark.parametrize("can_ask", [True, False])
def test_who_is_refused_later(
    store: FileStore, outcome: Outcome, can_ask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its identities name it as the checker, which refuses disabled and removed users; also with a
    store that has no ``refused``.
    """
    if not can_ask:
        monkeypatch.delattr(FileStore, "refused")
    checker = StoreChecker(store, profile=CHEAP)
    alice = outcome(checker.requestAvatarId(UsernamePassword("alice", "wonderland")))
    sam = outcome(checker.requestAvatarId(Proof("sam", SCRAM_VERIFIER)))
    assert alice.checker is sam.checker is checker
    names = ["alice", "sam", "dora", "nobody"]
    assert outcome(checker.refused(names)) == {"dora", "nobody"}
    store.remove("sam")
    assert outcome(checker.refused(names)) == {"dora", "nobody", "sam"}


async def test_a_flood_of_logins_does_not_delay_it(store: FileStore) -> None:
    """The queue of logins, which strangers can fill, is not that of these questions."""
    checker = StoreChecker(store, profile=CHEAP, workers=Workers(threads=0, queue=0))
    with pytest.raises(QueueFull):
        await checker.requestAvatarId(UsernamePassword("alice", "wonderland"))
    assert await checker.refused(["alice", "dora"]) == {"dora"}


def test_a_store_that_fails_refuses_nobody(
    store: FileStore, outcome: Outcome, tmp_path: Path
) -> None:
    """The question fails, so that no session is ended."""
    checker = StoreChecker(store, profile=CHEAP)
    (tmp_path / "users.db").unlink()
    with pytest.raises(LoginUnavailable):
        outcome(checker.refused(["alice"]))
