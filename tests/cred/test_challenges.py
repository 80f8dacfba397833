"""cred.challenges: the MD5 challenge of PB's published login."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
import twisted.spread.pb

from cred import challenges
from cred.challenges import challenge, hash_password, respond, verify
from cred.error import UnauthorizedLogin


def test_challenges_are_sixteen_fresh_bytes() -> None:
    """A challenge is 16 bytes, and no two are alike."""
    made = [challenge() for _ in range(100)]
    assert {len(each) for each in made} == {16}
    assert len(set(made)) == 100


def test_challenge_comes_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are those of the secrets module: a seeded generator could be foretold."""
    monkeypatch.setattr(challenges.secrets, "token_bytes", lambda size: b"\x07" * size)
    assert challenge() == b"\x07" * 16


@pytest.mark.parametrize("password", [b"", b"guest", "zoë".encode(), b"\xff" * 1000])
def test_answer_is_that_of_twisted(password: bytes) -> None:
    """The answer to a challenge is byte for byte the one that a Twisted client gives."""
    sent = challenge()
    assert respond(sent, password) == twisted.spread.pb.respond(sent, password)


def test_answer_to_a_fixed_challenge() -> None:
    """md5(md5("secret") + sixteen zero bytes) is this, whoever computes it."""
    assert respond(bytes(16), "secret").hex() == "dcedcc25ff20f26684ff7566a535d149"


def test_str_password_stands_for_its_utf8() -> None:
    """A password answers alike as str and as UTF-8 bytes."""
    assert respond(bytes(16), "zoë") == respond(bytes(16), "zoë".encode())
    assert hash_password("zoë") == hash_password("zoë".encode())


def test_right_answer_is_accepted() -> None:
    """The answer made with the password verifies against the password's digest."""
    sent = challenge()
    verify(sent, respond(sent, "secret"), hash_password("secret"))


@pytest.mark.parametrize(
    "response",
    [
        respond(bytes(16), "wrong"),
        respond(b"\x01" * 16, "secret"),
        respond(bytes(16), "secret")[:-1],
        respond(bytes(16), "secret") + b"\x00",
        hash_password("secret"),
        b"",
        "text",
        None,
        7,
        [respond(bytes(16), "secret")],
    ],
)
def test_any_other_answer_is_refused_with_one_text(response: object) -> None:
    """A wrong answer, an answer to another challenge, and what is no answer fail alike."""
    with pytest.raises(UnauthorizedLogin) as caught:
        verify(bytes(16), response, hash_password("secret"))
    assert str(caught.value) == "wrong user name or password"


def test_verifying_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The expected answer goes to compare_digest first, the peer's second."""
    calls = []

    def spy(*args: Any) -> bool:
        calls.append(args)
        return hmac.compare_digest(*args)

    class Hmac:
        compare_digest = staticmethod(spy)

    monkeypatch.setattr(challenges, "hmac", Hmac)
    right = respond(bytes(16), "secret")
    verify(bytes(16), right, hash_password("secret"))
    with pytest.raises(UnauthorizedLogin):
        verify(bytes(16), b"offered", hash_password("secret"))
    assert calls == [(right, right), (right, b"offered")]
