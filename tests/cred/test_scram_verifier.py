"""cred.scram_verifier: what a server keeps for SCRAM."""

from __future__ import annotations

import pytest
from scramp import ScramMechanism

from cred.error import UnauthorizedLogin
from cred.scram_verifier import ITERATIONS, MOST_ITERATIONS, ScramVerifier

QUICK = 4096
PENCIL = ScramVerifier.of_password("pencil", QUICK, salt=b"0123456789abcdef")
TEXT = str(PENCIL)


def test_text_and_back() -> None:
    """The text has the form of PostgreSQL's, and reads back as the same verifier."""
    assert TEXT.startswith("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$")
    assert ScramVerifier.parse(TEXT) == PENCIL


def test_keys_are_those_of_others() -> None:
    """Another implementation makes the same keys of the same password."""
    salt, stored_key, server_key, iterations = ScramMechanism("SCRAM-SHA-256").make_auth_info(
        "pencil", QUICK, PENCIL.salt
    )
    assert ScramVerifier(iterations, salt, stored_key, server_key) == PENCIL


def test_secrets_do_not_show() -> None:
    """The repr, which logs may show, has no key and no salt."""
    assert repr(PENCIL) == "ScramVerifier(iterations=4096)"


def test_each_has_its_salt() -> None:
    """Two verifiers of one password have nothing in common; a str and its bytes are one."""
    first, second = (ScramVerifier.of_password(text, QUICK) for text in ("sésame", "sésame"))
    assert first.stored_key != second.stored_key
    first.verify("sésame".encode())
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        first.verify("sesame")
    with pytest.raises(UnauthorizedLogin, match=r"^wrong user name or password$"):
        first.verify("x" * 1025)


@pytest.mark.parametrize("iterations", [0, 4095, MOST_ITERATIONS + 1])
def test_iterations_out_of_range(iterations: int) -> None:
    """Too few protect nobody, too many would keep clients busy."""
    with pytest.raises(ValueError, match=r"^iterations are from 4096 to 5000000$"):
        ScramVerifier.of_password("pencil", iterations)


def test_a_password_that_is_too_long() -> None:
    """It is refused before it is prepared; the text tells sizes only."""
    with pytest.raises(ValueError, match=r"^1025 bytes, of 1024$"):
        ScramVerifier.of_password("x" * 1025, QUICK)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT + "x",
        TEXT.replace("256", "1", 1),
        TEXT.replace("$4096", "$-4096"),
        TEXT.replace("MDEy", "M!Ey"),
        TEXT.replace("MDEyMzQ1Njc4OWFiY2RlZg==", ""),
        TEXT.rpartition(":")[0],
        TEXT.rpartition(":")[0] + ":MDEy",
        TEXT.replace("4096", "0"),
        TEXT.replace("4096", "9999999"),
        TEXT.replace("4096", "٤٠٩٦"),
    ],
)
def test_text_that_is_none(text: str) -> None:
    """What is no verifier is a ValueError that says what one is, and repeats nothing."""
    with pytest.raises(ValueError, match="SCRAM verifier") as caught:
        ScramVerifier.parse(text)
    assert "MDEy" not in str(caught.value)


def test_of_nobody() -> None:
    """A user that there is not has the same verifier each time, another than the next one."""
    secret = b"s" * 16
    eve = ScramVerifier.of_nobody(secret, "eve")
    assert eve == ScramVerifier.of_nobody(secret, b"eve")
    assert eve.salt != ScramVerifier.of_nobody(secret, "mallory").salt
    assert eve.salt != ScramVerifier.of_nobody(b"t" * 16, "eve").salt
    assert (eve.iterations, len(eve.salt)) == (ITERATIONS, len(ScramVerifier.parse(TEXT).salt))
