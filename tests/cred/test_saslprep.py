"""cred.saslprep: user names and passwords in one form."""

from __future__ import annotations

import pytest

from cred.saslprep import LONGEST_NAME, LONGEST_PASSWORD, saslprep, saslprep_octets


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\u0627\u0628\u0627", "\u0627\u0628\u0627"),
        ("key \U0001f511", "key \U0001f511"),
        ("", ""),
    ],
)
def test_what_is_prepared(typed: str, prepared: str) -> None:
    """The examples of RFC 4013; accents and spaces in one form; an emoji as it is."""
    assert saslprep(typed, LONGEST_NAME) == prepared
    assert saslprep(prepared, LONGEST_NAME) == prepared
    assert saslprep_octets(typed.encode(), LONGEST_NAME) == prepared.encode()


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("\u0007", r"^it has a character that SASLprep prohibits \(U\+0007\)$"),
        ("a\ue000", r"prohibits \(U\+E000\)$"),
        ("a\u200eb", r"prohibits \(U\+200E\)$"),
        ("\ud800", r"prohibits \(U\+D800\)$"),
        ("\u06271", r"^it mixes writing from the left and from the right$"),
        ("\u0627a\u0627", r"^it mixes writing"),
        ("a" * (LONGEST_NAME + 1), r"^257 bytes, of 256$"),
        ("\u00e9" * LONGEST_NAME, r"^512 bytes, of 256$"),
    ],
)
def test_what_is_refused(typed: str, text: str) -> None:
    """Controls, private and formatting characters, text of two directions, and too many bytes."""
    with pytest.raises(ValueError, match=text):
        saslprep(typed, LONGEST_NAME)


def test_length_comes_first() -> None:
    """A text that is too long is not looked at: it can take as long as it likes to prepare."""
    with pytest.raises(ValueError, match=r"bytes, of 1024$"):
        saslprep("\u0007" + "\ufdfa" * 1_000_000, LONGEST_PASSWORD)


@pytest.mark.parametrize("octets", [b"\xff", b"x" * 257])
def test_bytes_that_are_no_text(octets: bytes) -> None:
    """Bytes count as the UTF-8 that they are, and are refused where they are none."""
    with pytest.raises(ValueError, match=r"^bytes that are not UTF-8$|^257 bytes, of 256$"):
        saslprep_octets(octets, LONGEST_NAME)
