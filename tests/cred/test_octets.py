"""cred.octets: names and passwords as bytes, compared in constant time."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from cred import octets
from cred.octets import in_form_of, same_octets, to_octets


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
def test_octets_go_back_into_the_form_they_came_in(name: str) -> None:
    """Bytes made of a text become that text again where a str is wanted, and stay bytes if not."""
    assert in_form_of("any str", to_octets(name)) == name
    assert in_form_of(b"any bytes", to_octets(name)) == to_octets(name)
