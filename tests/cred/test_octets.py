"""cred.octets: names and passwords as bytes, compared in constant time."""

from __future__ import annotations

import enum
import hmac
from typing import Any

import pytest

from cred import octets
from cred.octets import as_given, other_form, same_octets, to_octets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice", b"alice"),
        (b"alice", b"alice"),
        ("zoë", b"zo\xc3\xab"),
        (b"\xff\x00", b"\xff\x00"),
        ("", b""),
        ("\ud800", b"\xed\xa0\x80"),
    ],
)
def test_str_stands_for_its_utf8(text: str | bytes, expected: bytes) -> None:
    """A str becomes its UTF-8 bytes, also where it has a lone surrogate; bytes stay as they are."""
    assert to_octets(text) == expected


@pytest.mark.parametrize("text", [None, 7, [b"alice"], ()])
def test_other_types_are_refused_by_name(text: object) -> None:
    """What is neither str nor bytes is a TypeError that names the type and not the value."""
    with pytest.raises(TypeError) as caught:
        to_octets(text)
    assert str(caught.value) == (
        f"a user name or password is str or bytes, not {type(text).__name__}"
    )


@pytest.mark.parametrize(
    ("secret", "offered", "expected"),
    [
        ("zoë", "zoë", True),
        ("zoë", "zoë".encode(), True),
        ("zoë".encode(), "zoë", True),
        (b"a", b"b", False),
        (b"a", b"ab", False),
        (b"ab", b"a", False),
        (b"", b"", True),
        (b"", b"a", False),
        (None, None, False),
        (None, b"None", False),
        (b"7", 7, False),
    ],
)
def test_same_octets_compares_bytes(secret: object, offered: object, expected: bool) -> None:
    """Two texts are the same where their bytes are; what is no text is never the same."""
    assert same_octets(secret, offered) is expected


def test_comparing_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes go to compare_digest, whose time follows its second argument: what was offered."""
    calls = []

    def spy(*args: Any) -> bool:
        calls.append(args)
        return hmac.compare_digest(*args)

    class Hmac:
        compare_digest = staticmethod(spy)

    monkeypatch.setattr(octets, "hmac", Hmac)
    assert not same_octets("secret", "offer")
    assert calls == [(b"secret", b"offer")]


@pytest.mark.parametrize("name", ["alice", "zoë", "", "\ud800"])
def test_each_form_has_another(name: str) -> None:
    """The other form of a str is its bytes, and that of those bytes is the str."""
    assert other_form(name) == to_octets(name)
    assert other_form(to_octets(name)) == name


def test_bytes_that_no_str_stands_for() -> None:
    """Bytes that are not UTF-8 have no other form."""
    assert other_form(b"\xff") is None


class Account(str, enum.Enum):  # noqa: UP042 - whose str() is not the value
    """User names that a program has as constants."""

    ALICE = "alice"


class Octets(bytes):
    """Bytes of a class of one's own."""


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("alice", "alice"),
        (b"alice", b"alice"),
        (b"\xff", b"\xff"),
        (Account.ALICE, "alice"),
        (Octets(b"alice"), b"alice"),
    ],
)
def test_a_name_crosses_as_it_was_given(given: Any, plain: Any) -> None:
    """A str stays a str and bytes stay bytes; those of a subclass become the plain ones."""
    assert (type(as_given(given)), as_given(given)) == (type(plain), plain)


def test_what_is_no_name_is_not_given() -> None:
    """What is neither str nor bytes is refused as by to_octets."""
    with pytest.raises(TypeError, match="is str or bytes, not int"):
        as_given(7)
