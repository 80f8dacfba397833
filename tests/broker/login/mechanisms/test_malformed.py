"""What a peer may show for a login: anything at all, and it is let in or refused as a login is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ways_in import WaysIn

import cred
from broker.core.policy import PUBLISHED, STRICT
from broker.core.principal import OnBehalf
from broker.defer import to_deferred
from broker.login.server import PortalRoot
from broker.login.throttle import LoginThrottle
from cred.interfaces import IBearerToken, IScramProof, IUsernamePassword
from cred.passwords import Profile, hash_password
from cred.scram import SCRAM, SCRAM_PLUS
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores.files import FileStore
from cred.tokens import TokenChecker
from cred.users import User
from cred.workers import Workers

CHEAP = Profile(8, 1, 1)
KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "k",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
# The servers are the same for all examples: a login leaves nothing that the next could meet.
CHECKED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FREE = {"account": None, "source": None, "connection": None}

# Values as they can come over the wire; lone surrogates cross PB's.
TEXTS = st.text(st.characters(), max_size=20)
LIKELY = st.sampled_from([
    "alice", b"alice", SCRAM, SCRAM_PLUS, b"n,,n=alice,r=x", b"p=tls-exporter,,n=alice,r=x",
    b"n,,n=a=2Cb,r=x", b"n,,n==,r=x", "x" * 300, b"\xff", "\ud800", "a.b.c", "e30.e30.e30",
    b"c=biws,r=x,p=" + b"A" * 43 + b"=", 2**63, -1, float("nan"), "", b"", "\u0627a", "\u00ad",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=20)
    | LIKELY,
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner)
    | st.dictionaries(st.integers() | TEXTS, inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@pytest.fixture(params=[STRICT.but(challenge_login=True), PUBLISHED], ids=["strict", "published"])
def rooms(request: pytest.FixtureRequest) -> Iterator[tuple[WaysIn, WaysIn]]:
    """Two servers: one with SCRAM verifiers and clear passwords, one with Argon2id hashes."""
    with TemporaryDirectory() as folder:
        made = []
        for name, verifier in (
            ("scram", str(ScramVerifier.of_password("secret", 4096))),
            ("argon2", hash_password("secret", CHEAP)),
        ):
            room = WaysIn(policy=request.param, throttle=LoginThrottle(**FREE))
            store = FileStore(str(Path(folder) / name), create=True)
            store.add(User("alice", verifier))
            checker = StoreChecker(store, profile=CHEAP, workers=Workers())
            tokens = TokenChecker({"keys": [KEY]}, issuer="i", audience="a")
            room.take_away(IScramProof, IBearerToken, IUsernamePassword)
            room.portal.registerChecker(checker)
            room.portal.registerChecker(tokens)
            made.append(room)
        yield made[0], made[1]


def outcome(login: Any, caplog: pytest.LogCaptureFixture) -> Any:
    """Return what a login yields; None where it is refused, as a login is."""
    results: list[Any] = []
    to_deferred(login).addBoth(results.append)
    (result,) = results
    if hasattr(result, "check"):
        assert result.check(cred.LoginFailed), result
        assert len(result.getErrorMessage()) < 300
        return None
    assert all(record.exc_info is None for record in caplog.records)
    return result


def fresh(room: WaysIn) -> Any:
    """Return a login object that has seen nothing yet."""
    room.portal.throttle = LoginThrottle(**FREE)
    return PortalRoot(room.portal).rootObject(room.server)


@CHECKED
@given(st.data())
def test_anything_is_let_in_or_refused(
    rooms: tuple[WaysIn, WaysIn], caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    """Each call of each mechanism, with any values, yields an avatar or an error of a login."""
    caplog.set_level(logging.WARNING)
    for room in rooms:
        root = fresh(room)
        name, word, mind = (data.draw(VALUES) for _ in range(3))
        outcome(root.remote_loginPassword(name, word, mind), caplog)
        outcome(root.remote_loginToken(word, mind), caplog)
        outcome(root.remote_loginCertificate(mind), caplog)
        assert type(outcome(root.remote_loginAnonymous(mind), caplog)) is OnBehalf
        begun = outcome(root.remote_login(name), caplog)
        if begun is not None:
            outcome(begun[1].remote_respond(word, mind), caplog)
        begun = outcome(root.remote_loginScram(name, word), caplog)
        if begun is not None:
            outcome(begun[1].remote_finish(data.draw(VALUES), mind), caplog)


@CHECKED
@given(data=st.data())
def test_anything_for_a_second_message(
    rooms: tuple[WaysIn, WaysIn], caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    """So is it with the second message, whatever the first was that led to it."""
    root = fresh(rooms[0])
    first = b"p=tls-exporter,,n=alice,r=x"
    _, exchange = outcome(root.remote_loginScram(SCRAM_PLUS, first), caplog)
    outcome(exchange.remote_finish(data.draw(VALUES), data.draw(VALUES)), caplog)
