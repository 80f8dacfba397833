"""cred.store_checker: a check costs the same, and looks the same, whoever asks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidKey
from support.users_in_a_store import CHEAP, HASH, SCRAM_VERIFIER, Outcome, refusal

from cred import passwords, store_checker
from cred.credentials import UsernamePassword
from cred.passwords import Profile, hash_password
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores.files import FileStore
from cred.users import User


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
