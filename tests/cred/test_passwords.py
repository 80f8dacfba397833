"""cred.passwords: hashing and checking."""

from __future__ import annotations

import hashlib

import pytest

from cred import passwords
from cred.error import WRONG_LOGIN, UnauthorizedLogin
from cred.passwords import (
    HIGH,
    STANDARD,
    Profile,
    decoy_of,
    hash_password,
    upgraded,
    verify_password,
)
from cred.scram_verifier import ITERATIONS, ScramVerifier

CHEAP = Profile(64, 1, 1)
SCRAM_VERIFIER = str(ScramVerifier.of_password("wonderland", 4096))

# Of the test program of the reference implementation: Argon2id, version 19, "password", "somesalt".
REFERENCE = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"


@pytest.mark.parametrize("password", ["wonderland", b"wonderland", "zoë", "a" * 1024, "a b"])
@pytest.mark.parametrize("profile", [CHEAP, STANDARD])
def test_the_password_fits_and_no_other(password: str | bytes, profile: Profile) -> None:
    """What was hashed is accepted, and nothing else is."""
    verifier = hash_password(password, profile)
    verify_password(password, verifier)
    for other in ("wonderlan", "Wonderland", "wonderland ", "", "x" * 1025, b"\xff", "a\x00"):
        with pytest.raises(UnauthorizedLogin, match=f"^{WRONG_LOGIN}$"):
            verify_password(other, verifier)


def test_what_the_reference_implementation_made() -> None:
    """A hash that another program has made is as good."""
    verify_password("password", REFERENCE)
    with pytest.raises(UnauthorizedLogin):
        verify_password("Password", REFERENCE)


def test_what_is_kept() -> None:
    """The text names kind, version and cost; the same password is never hashed to the same."""
    verifier = hash_password("wonderland")
    assert verifier.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert len(verifier) == 97
    assert hash_password("wonderland") != verifier
    assert hash_password("wonderland", HIGH).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_password_is_prepared() -> None:
    """Two ways to type a password are one: composed or not, with any space."""
    verifier = hash_password("zo\xeb land", CHEAP)
    verify_password("zoe\u0308\xa0land", verifier)
    verify_password("zo\xeb land".encode(), verifier)


def test_a_clear_password_against_a_scram_verifier() -> None:
    """A user with a SCRAM verifier can log in with the password in clear."""
    verify_password("wonderland", SCRAM_VERIFIER)
    with pytest.raises(UnauthorizedLogin, match=f"^{WRONG_LOGIN}$"):
        verify_password("looking glass", SCRAM_VERIFIER)


@pytest.mark.parametrize(
    ("password", "text"),
    [
        ("", "a password is not empty"),
        ("a" * 1025, "1025 bytes, of 1024"),
        (b"a" * 1025, "1025 bytes, of 1024"),
        ("é" * 513, "1026 bytes, of 1024"),
        (b"\xff", "bytes that are not UTF-8"),
        ("a\nb", "it has a character that SASLprep prohibits (U+000A)"),
    ],
)
def test_what_is_no_password(password: str | bytes, text: str) -> None:
    """It is refused before it is hashed; the text does not repeat it."""
    with pytest.raises(ValueError, match=r"byte|not empty|SASLprep") as caught:
        hash_password(password)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "verifier",
    [
        "$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=4294967,t=1,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=64,t=11,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=128,t=1,p=9$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=8,t=1,p=2$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY$",
        "$argon2id$v=19$m=64,t=1,p=1$$" + "A" * 43,
        "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "$argon2id$",
        "SCRAM-SHA-256$5000001:c2FsdA==$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "SCRAM-SHA-256$",
        "$2b$12$abc",
        "wonderland",
        "",
    ],
)
def test_what_is_no_verifier(verifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged verifier, or one that would cost too much, is refused without being tried."""
    # Whoever tries it fails with something else.
    monkeypatch.setattr(passwords, "Argon2id", None)
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", None)
    with pytest.raises(ValueError, match=r"Argon2id|SCRAM|begins with"):
        verify_password("wonderland", verifier)


def test_the_most_that_is_tried() -> None:
    """A gibibyte, ten passes and eight lanes are the most that a profile can have."""
    assert Profile(1024 * 1024, 10, 8)
    with pytest.raises(ValueError, match=r"^Argon2id with m=1048577, t=1, p=1: m is at most 10485"):
        Profile(1024 * 1024 + 1, 1, 1)


def test_what_is_hashed_anew() -> None:
    """A weaker hash gets today's cost; one as strong or stronger in all respects stays."""
    weak = hash_password("wonderland", CHEAP)
    better = upgraded("wonderland", weak, STANDARD)
    assert better is not None
    assert better.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    verify_password("wonderland", better)
    for kept in (weak, hash_password("wonderland", Profile(128, 2, 2))):
        assert upgraded("wonderland", kept, CHEAP) is None
    assert upgraded(
        "wonderland", hash_password("wonderland", Profile(128, 1, 1)), Profile(64, 2, 1)
    )


def test_a_scram_verifier_is_made_anew() -> None:
    """One with fewer iterations than new ones have gets as many, and stays one for SCRAM."""
    better = upgraded("wonderland", SCRAM_VERIFIER)
    assert better is not None
    assert ScramVerifier.parse(better).iterations == ITERATIONS
    verify_password("wonderland", better)
    assert upgraded("wonderland", better) is None


def test_a_decoy_looks_and_costs_like_the_rest() -> None:
    """It is of the kind and the cost of the model, and no password fits it."""
    assert decoy_of(None, CHEAP).startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert decoy_of(hash_password("x", Profile(128, 2, 1))).startswith("$argon2id$v=19$m=128,t=2,")
    assert decoy_of(SCRAM_VERIFIER).startswith("SCRAM-SHA-256$4096:")
    assert decoy_of(None, CHEAP) != decoy_of(None, CHEAP)
    with pytest.raises(UnauthorizedLogin):
        verify_password("wonderland", decoy_of(SCRAM_VERIFIER))
    with pytest.raises(UnauthorizedLogin):
        verify_password("wonderland", decoy_of(None, CHEAP))
