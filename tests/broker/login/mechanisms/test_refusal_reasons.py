"""Why a login was refused: the audit log tells it, and the wire does not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.ways_in import BINDING, ITERATIONS, WaysIn

import cred
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.login.throttle import LoginThrottle
from cred.challenges import respond
from cred.interfaces import IScramProof
from cred.passwords import Profile, hash_password
from cred.scram import SCRAM, SCRAM_PLUS, ScramClient
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User

CHEAP = Profile(64, 1, 1)
OURS = STRICT.but(challenge_login=True)
POLICIES = {
    "strict": OURS,
    "strict, pb": OURS.but(dialects=("pb",)),
    "published": PUBLISHED,
    "published, pb": PUBLISHED.but(dialects=("pb",)),
    "tracebacks": PUBLISHED.but(unsafe_tracebacks=True),
}
# Who logs in, with what, and what the audit log says of it. All names have one length.
REFUSALS = [
    ("alice", "guess", "wrong password"),
    ("bobby", "secret", "disabled user"),
    ("carol", "secret", "user without password"),
    ("eve00", "secret", "unknown user"),
]


def scram(mechanism: str) -> Callable[[WaysIn, str, str], Any]:
    """Return a way to log in by one of the two SCRAM mechanisms."""

    def log_in(room: WaysIn, name: str, password: str) -> Any:
        is_bound = mechanism == SCRAM_PLUS
        client = ScramClient(name, password, binding=BINDING if is_bound else None, plus=is_bound)
        server_first, exchange = room.call("loginScram", mechanism, client.first())
        return room.get(exchange.callRemote("finish", client.final(server_first), None))

    return log_in


def password(room: WaysIn, name: str, password: str) -> Any:
    """Log in with a password in clear."""
    return room.call("loginPassword", name, password, None)


def challenge(room: WaysIn, name: str, password: str) -> Any:
    """Log in by the old challenge."""
    token, challenger = room.call("login", name)
    return room.get(challenger.callRemote("respond", respond(token, password), None))


WAYS = {"plus": scram(SCRAM_PLUS), "scram": scram(SCRAM), "password": password}


def room_with(checker: Any, policy: Policy, is_bound: bool = True) -> WaysIn:
    """Return a server that has this checker of passwords, and no limit of failures."""
    throttle = LoginThrottle(account=None, source=None, connection=None)
    room = WaysIn(
        policy=policy, throttle=throttle, binding=BINDING if is_bound else None, connect=False
    )
    room.take_away(IScramProof)
    room.portal.registerChecker(checker)
    room.exchange()
    return room


def store_checker(folder: Path, verifier: str) -> StoreChecker:
    """Return the checker of a store with alice, who may log in, and two who may not."""
    store = open_store(f"file:{folder / 'users.db'}", create=True)
    store.add(User("alice", verifier))
    store.add(replace(User("bobby", verifier), is_disabled=True))
    store.add(User("carol"))
    return StoreChecker(store, profile=CHEAP)


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons that the audit log has."""
    lines = [json.loads(each.message) for each in caplog.records if each.name == "broker.audit"]
    return [line["reason"] for line in lines]


def refused_on_the_wire(room: WaysIn, way: Any) -> set[tuple[str, int, tuple[int, ...]]]:
    """Be refused for each reason; return what was read, and the sizes of what was sent, each time.

    The first attempts of a connection are not looked at: request numbers grow longer later.
    """
    seen = set()
    for name, shown, _ in REFUSALS:
        sent = room.transport(room.server).writes
        before = len(sent)
        failure = way(room, name, shown)
        written = sent[before:]
        told = b"".join(written)
        for _, _, reason in REFUSALS:
            assert reason.encode() not in told
        assert failure.check(cred.UnauthorizedLogin)
        seen.add((failure.getErrorMessage(), failure.traceback, tuple(map(len, written))))
    return seen


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", WAYS)
def test_a_store_of_scram_verifiers(
    way: str, policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The audit log tells the reasons apart; text, traceback and sizes on the wire are the same."""
    caplog.set_level(logging.INFO, "broker.audit")
    checker = store_checker(tmp_path, str(ScramVerifier.of_password("secret", ITERATIONS)))
    room = room_with(checker, POLICIES[policy], way == "plus")
    seen = refused_on_the_wire(room, WAYS[way])
    assert reasons(caplog) == [reason for _, _, reason in REFUSALS]
    assert len(seen) == 1
    assert {text for text, _, _ in seen} == {"wrong user name or password"}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_store_of_hashes(policy: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is so with a password in clear against Argon2id hashes, too."""
    caplog.set_level(logging.INFO, "broker.audit")
    checker = store_checker(tmp_path, hash_password("secret", CHEAP))
    seen = refused_on_the_wire(room_with(checker, POLICIES[policy]), password)
    assert reasons(caplog) == [reason for _, _, reason in REFUSALS]
    assert len(seen) == 1


@pytest.mark.parametrize("way", [password, challenge])
def test_published_checkers(way: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The published checkers give their reasons to the audit log as the store does."""
    caplog.set_level(logging.INFO, "broker.audit")
    file = tmp_path / "passwords"
    file.write_text("alice:secret\n")
    checkers = [cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret")]
    for checker in (*checkers, cred.FilePasswordDB(file)):
        room = room_with(checker, OURS)
        way(room, "alice", "guess")
        way(room, "eve00", "secret")
    assert reasons(caplog) == ["wrong password", "unknown user"] * 2


def scram_begins(name: str) -> bytes:
    """Return the first message of a SCRAM client of this name."""
    return f"p=tls-exporter,,n={name},r=nonce".encode()


@pytest.mark.parametrize(
    "call",
    [
        *(("loginPassword", name, "secret", None) for name in (b"\xff", 5, "x" * 257, "a\x07b")),
        *(("loginScram", SCRAM_PLUS, scram_begins(name)) for name in ("x" * 257, "a\x07b")),
    ],
)
def test_no_possible_name(
    call: tuple[Any, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that nobody can have is refused as a wrong one, and the log says so."""
    caplog.set_level(logging.INFO, "broker.audit")
    checker = store_checker(tmp_path, str(ScramVerifier.of_password("secret", ITERATIONS)))
    failure = room_with(checker, OURS).call(*call)
    assert failure.getErrorMessage() == "wrong user name or password"
    assert reasons(caplog) == ["no possible user name"]


def test_the_reason_is_not_part_of_the_state() -> None:
    """Not even a policy that sends whole exceptions sends the reason."""
    error = cred.error.wrong_login("disabled user")
    assert error.__getstate__() == {}
    assert "reason" not in cred.UnauthorizedLogin.__annotations__
