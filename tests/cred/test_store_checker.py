"""cred.store_checker: who is let in."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidKey
from zope.interface import implementer
from zope.interface.verify import verifyObject

from broker.errors import ConfigError
from cred import passwords, store_checker
from cred.checkers import ICredentialsChecker
from cred.credentials import UsernamePassword
from cred.error import WRONG_LOGIN, LoginUnavailable, UnauthorizedLogin
from cred.identity import Identity
from cred.interfaces import IScramProof, IUsernamePassword
from cred.passwords import Profile, hash_password
from cred.portal import Portal
from cred.scram_verifier import ITERATIONS, ScramVerifier
from cred.store_checker import UNAVAILABLE, StoreChecker
from cred.stores.files import FileStore
from cred.users import StoreUnavailable, User, UserStore
from cred.workers import QueueFull, Workers

Outcome = Callable[[Any], Any]

CHEAP = Profile(64, 1, 1)
HASH = hash_password("wonderland", CHEAP)
SCRAM_VERIFIER = ScramVerifier.of_password("wonderland", 4096)
STAFF = frozenset({"staff"})


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    """A store with a user of each kind."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    store.add(User("alice", HASH, STAFF))
    store.add(User("zoë", HASH))
    store.add(User("sam", str(SCRAM_VERIFIER), STAFF))
    store.add(User("dora", HASH, STAFF, True))
    store.add(User("dan", str(SCRAM_VERIFIER), STAFF, True))
    store.add(User("cert"))
    store.add(User("odd", "$argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAA"))
    return store


@pytest.fixture
def checker(store: FileStore) -> StoreChecker:
    """A checker of that store that hashes at little cost."""
    return StoreChecker(store, profile=CHEAP)


@implementer(IScramProof)
class Proof:
    """What a SCRAM exchange that has succeeded leaves."""

    def __init__(self, username: str | bytes, verifier: ScramVerifier) -> None:
        self.username = username
        self.verifier = verifier


def refusal(outcome: Outcome, checker: StoreChecker, credentials: Any) -> tuple[str, str]:
    """Return what the peer gets to read, and what the log, of a wrong login."""
    with pytest.raises(UnauthorizedLogin) as caught:
        outcome(checker.requestAvatarId(credentials))
    assert type(caught.value) is UnauthorizedLogin
    return str(caught.value), caught.value.reason


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


@pytest.mark.parametrize(
    ("model", "begins"),
    [
        (HASH, "$argon2id$v=19$m=64,t=1,p=1$"),
        (hash_password("x", Profile(128, 2, 1)), "$argon2id$v=19$m=128,t=2,p=1$"),
        (str(SCRAM_VERIFIER), "SCRAM-SHA-256$4096:"),
    ],
    ids=["Argon2id", "Argon2id with another cost", "SCRAM"],
)
def test_an_unknown_user_costs_what_the_known_cost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    model: str,
    begins: str,
) -> None:
    """One verification is made for a known and for an unknown user, of the same kind and cost."""
    tried: list[str] = []
    verify = store_checker.verify_password

    def note(password: Any, verifier: str) -> None:
        tried.append(verifier)
        verify(password, verifier)

    monkeypatch.setattr(store_checker, "verify_password", note)
    store = FileStore(str(tmp_path / "users.db"), create=True)
    checker = StoreChecker(store, profile=CHEAP)
    refusal(outcome, checker, UsernamePassword("alice", "looking glass"))
    store.add(User("alice", model))
    for name in ("alice", "bob", "carol"):
        refusal(outcome, checker, UsernamePassword(name, "looking glass"))
    assert [verifier.startswith(begins) for verifier in tried[1:]] == [True, True, True]
    assert tried[2] == tried[3] != tried[1]


class Ledger:
    """Counts the work that is done, in place of doing it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory = self.iterations = 0
        ledger, pbkdf2 = self, hashlib.pbkdf2_hmac

        class Argon2id:
            """Hashes nothing."""

            def __init__(self, *, iterations: int, memory_cost: int, **rest: Any) -> None:
                self.work = iterations * memory_cost

            def derive(self, password: bytes) -> bytes:
                ledger.memory += self.work
                return b""

            @staticmethod
            def verify_phc_encoded(password: bytes, verifier: str) -> None:
                memory, passes = re.findall(r"[mt]=(\d+)", verifier)
                ledger.memory += int(memory) * int(passes)
                raise InvalidKey

        def count(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
            ledger.iterations += iterations
            return pbkdf2(name, password, salt, 1)

        monkeypatch.setattr(passwords, "Argon2id", Argon2id)
        monkeypatch.setattr(hashlib, "pbkdf2_hmac", count)

    def take(self) -> tuple[int, int]:
        """Return the work since the last time."""
        work = self.memory, self.iterations
        self.memory = self.iterations = 0
        return work


def argon2(memory: int, passes: int, lanes: int = 1) -> str:
    """Make a verifier of that cost, which no password fits."""
    return f"$argon2id$v=19$m={memory},t={passes},p={lanes}${'A' * 22}${'A' * 43}"


def scram(iterations: int, salt_size: int = 16) -> str:
    """The same for SCRAM."""
    return str(ScramVerifier(iterations, b"s" * salt_size, b"k" * 32, b"k" * 32))


MIXED = {
    "one cost": [argon2(64, 1)],
    "two profiles": [argon2(19_456, 2), argon2(64, 1)],
    "many profiles": [argon2(64, 1), argon2(100, 3, 4), argon2(77, 2), argon2(1000, 1)],
    "a little more": [argon2(1000, 2), argon2(1993, 1), argon2(999, 2), argon2(667, 3)],
    "iterations": [scram(20_000), scram(600_000), scram(4096)],
    "both kinds": [argon2(64, 1), argon2(19_456, 2), scram(20_000), scram(600_000)],
}
MOST = {
    "one cost": (64, 0),
    "two profiles": (38_912, 0),
    "many profiles": (1000, 0),
    "a little more": (2001, 0),
    "iterations": (0, 600_000),
    "both kinds": (38_912, 600_000),
}


def filled(tmp_path: Path, verifiers: list[str]) -> FileStore:
    """Return a store with users of these costs, and some who cannot log in."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    for number, verifier in enumerate(verifiers):
        store.add(User(f"user{number}", verifier))
        store.add(User(f"gone{number}", verifier, is_disabled=True))
    store.add(User("cert"))
    store.add(User("odd", "$argon2id$v=19$m=9999999,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAA"))
    return store


@pytest.mark.parametrize("kind", MIXED)
def test_each_check_does_the_same_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, kind: str
) -> None:
    """A check takes as much as that of the most expensive verifier, whoever it is for."""
    store = filled(tmp_path, MIXED[kind])
    checker = StoreChecker(store, profile=CHEAP)
    ledger = Ledger(monkeypatch)
    names = [user.name for user in store.users()] + [f"eve{number}" for number in range(20)]
    for name in names:
        refusal(outcome, checker, UsernamePassword(name, "looking glass"))
        memory, iterations = ledger.take()
        # What Argon2id cannot do alone, less than 8 KiB, is left out.
        assert MOST[kind][0] - 8 < memory <= MOST[kind][0]
        assert iterations == MOST[kind][1]


def test_what_is_no_password_takes_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """What can be no password is tried for nobody."""
    checker = StoreChecker(filled(tmp_path, MIXED["both kinds"]), profile=CHEAP)
    ledger = Ledger(monkeypatch)
    for name in ("user0", "user1", "user2", "gone0", "cert", "odd", "eve"):
        for password in ("", "x" * 1025, b"\xff", "\x07"):
            refusal(outcome, checker, UsernamePassword(name, password))
    assert ledger.take() == (0, 0)


def test_the_right_password_takes_as_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """So does a check that succeeds."""
    store = filled(tmp_path, [scram(20_000)])
    store.add(User("sam", str(SCRAM_VERIFIER)))
    checker = StoreChecker(store, profile=CHEAP)
    done: list[int] = []
    pbkdf2 = hashlib.pbkdf2_hmac

    def count(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
        done.append(iterations)
        return pbkdf2(name, password, salt, iterations)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", count)
    monkeypatch.setattr(store_checker, "upgraded", lambda *args: None)
    assert outcome(checker.requestAvatarId(UsernamePassword("sam", "wonderland"))) == "sam"
    assert sum(done) == 20_000


def test_a_store_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """A cost that comes, or goes, while the server runs is everybody's from the next login on."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    checker = StoreChecker(store, profile=CHEAP)
    ledger = Ledger(monkeypatch)

    def taken() -> tuple[int, int]:
        works = set()
        for name in ("eve", *(user.name for user in store.users()), "mallory"):
            refusal(outcome, checker, UsernamePassword(name, "looking glass"))
            works.add(ledger.take())
        assert len(works) == 1
        return works.pop()

    assert taken() == (64, 0)
    store.add(User("alice", argon2(8, 1)))
    assert taken() == (8, 0)
    store.add(User("bob", argon2(100, 2)))
    assert taken() == (200, 0)
    store.add(User("sam", scram(5000)))
    assert taken() == (200, 5000)
    store.remove("bob")
    assert taken() == (8, 5000)


def shape_of(verifier: ScramVerifier) -> tuple[int, int]:
    """Return what a client sees of it."""
    return verifier.iterations, len(verifier.salt)


def test_unknown_users_look_like_the_known(tmp_path: Path, outcome: Outcome) -> None:
    """The iterations and the salt that unknown users show are as frequent as among the users."""
    store = FileStore(str(tmp_path / "users.db"), create=True)
    usual, rare = scram(600_000), scram(20_000, 24)
    for number in range(20):
        store.add(User(f"user{number}", rare if number % 4 == 0 else usual))
    store.add(User("gone", scram(4096, 12), is_disabled=True))
    checker = StoreChecker(store)
    names = [f"eve{number}" for number in range(400)]
    shown = {name: outcome(checker.scramVerifier(name)) for name in names}
    assert {shape_of(each) for each in shown.values()} == {(600_000, 16), (20_000, 24)}
    few = sum(each.iterations == 20_000 for each in shown.values())
    assert 60 < few < 140
    again = StoreChecker(FileStore(str(tmp_path / "users.db")))
    assert {name: outcome(again.scramVerifier(name)) for name in names} == shown
    assert shape_of(outcome(checker.scramVerifier("gone"))) in {(600_000, 16), (20_000, 24)}
    store.add(User("user20", usual))
    changed = sum(outcome(checker.scramVerifier(name)) != shown[name] for name in names)
    assert changed < 40


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


@pytest.fixture(autouse=True)
def quiet_workers() -> Iterator[None]:
    """No thread outlives its test."""
    yield
    for thread in threading.enumerate():
        if thread.name == "cred-worker":
            thread.join(10)
