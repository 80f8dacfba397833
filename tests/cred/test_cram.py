"""cred.cram: CRAM-MD5, at the server."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import Any

import pytest
import twisted.cred.credentials
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from cred import cram
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.cram import CramMD5Credentials
from cred.credentials import IUsernameHashedPassword
from cred.error import UnauthorizedLogin

Outcome = Callable[[Any], Any]

Theirs = twisted.cred.credentials.CramMD5Credentials


def answer(challenge: bytes, username: bytes, password: bytes) -> bytes:
    """What a client sends."""
    return username + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()


def test_class_is_a_hashed_password() -> None:
    """It provides, and fulfils, IUsernameHashedPassword alone."""
    assert list(providedBy(CramMD5Credentials())) == [IUsernameHashedPassword]
    assert verifyObject(IUsernameHashedPassword, CramMD5Credentials())


@pytest.mark.parametrize(
    ("host", "written"),
    [("mail.example", b"mail.example"), (b"mail.example", b"mail.example"), (None, b"None")],
)
def test_challenge_is_a_message_id(
    host: Any, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenge is random digits, the second of the clock, and the host's name."""

    class Clock:
        time = staticmethod(lambda: 1700000000.9)

    monkeypatch.setattr(cram, "time", Clock)
    made = CramMD5Credentials(host).getChallenge()
    assert re.fullmatch(rb"<[0-9]+\.1700000000@" + written + rb">", made)
    theirs = Theirs(host).getChallenge()
    assert re.fullmatch(rb"<[0-9]+\.[0-9]+@" + written + rb">", theirs)


def test_challenge_comes_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits are those of the secrets module, out of 128 bits."""
    monkeypatch.setattr(cram.secrets, "randbelow", lambda below: below - 1)
    assert CramMD5Credentials("h").getChallenge().startswith(b"<%d." % (2**128 - 1))


def test_challenge_is_made_once() -> None:
    """Asked again, the same credentials have the same challenge; others have another."""
    credentials = CramMD5Credentials("h")
    assert credentials.getChallenge() == credentials.getChallenge() == credentials.challenge
    assert CramMD5Credentials("h").getChallenge() != credentials.challenge
    assert credentials.moreChallenges() is False


@pytest.mark.parametrize("as_text", [True, False])
def test_answer_is_taken_apart(as_text: bool) -> None:
    """An answer, str or bytes, gives user name and HMAC as bytes."""
    credentials = CramMD5Credentials()
    assert (credentials.username, credentials.response) == (None, b"")
    credentials.setResponse("zoë 0a1b" if as_text else "zoë 0a1b".encode())
    assert (credentials.username, credentials.response) == ("zoë".encode(), b"0a1b")


@pytest.mark.parametrize(
    "response", [b"alice 00", b"alice  00", b" alice\t00", b"alice 00 11 ", b"\xff \xfe"]
)
def test_answer_is_taken_apart_as_by_twisted(response: bytes) -> None:
    """Whatever white space is in an answer, the parts are those that Twisted finds."""
    ours, theirs = CramMD5Credentials(), Theirs()
    ours.setResponse(response)
    theirs.setResponse(response)
    assert (ours.username, ours.response) == (theirs.username, theirs.response)


@pytest.mark.parametrize("response", [b"", b"alice", b"alice ", "alice", " "])
def test_answer_without_two_parts_is_refused(response: Any) -> None:
    """An answer that is no user name and HMAC is a ValueError, and changes nothing."""
    credentials = CramMD5Credentials()
    with pytest.raises(ValueError, match=r"^a CRAM-MD5 answer is a user name, a space and an HMAC"):
        credentials.setResponse(response)
    assert (credentials.username, credentials.response) == (None, b"")


def test_answer_of_the_rfc() -> None:
    """The example of RFC 2195 is accepted."""
    credentials = CramMD5Credentials()
    credentials.challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    credentials.setResponse(b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert credentials.username == b"tim"
    assert credentials.checkPassword(b"tanstaaftanstaaf")
    assert not credentials.checkPassword(b"tanstaaf")


@pytest.mark.parametrize("password", [b"", b"secret", "sésame".encode(), b"\xff" * 200])
def test_ours_and_twisted_agree_on_answers(password: bytes) -> None:
    """What answers a challenge of Twisted's is right for ours, and the reverse."""
    for maker, other in ((Theirs("h"), CramMD5Credentials()), (CramMD5Credentials("h"), Theirs())):
        right = answer(maker.getChallenge(), b"alice", password)
        other.challenge = maker.challenge
        for credentials in (maker, other):
            credentials.setResponse(right)
            assert credentials.checkPassword(password) is True
            assert credentials.checkPassword(password + b"x") is False


def test_password_may_be_text() -> None:
    """A password is checked alike as str and as UTF-8 bytes."""
    credentials = CramMD5Credentials()
    credentials.setResponse(answer(credentials.getChallenge(), b"alice", "sésame".encode()))
    assert credentials.checkPassword("sésame") is True


@pytest.mark.parametrize("password", [None, 7, [b"secret"]])
def test_password_of_another_type_is_wrong(password: Any) -> None:
    """What is no text is no password of anybody."""
    credentials = CramMD5Credentials()
    credentials.setResponse(answer(credentials.getChallenge(), b"alice", b"None"))
    assert credentials.checkPassword(password) is False


def test_no_answer_is_right_before_a_challenge() -> None:
    """Where no challenge was given out, the HMAC of nothing lets nobody in."""
    credentials = CramMD5Credentials()
    credentials.setResponse(answer(b"", b"alice", b"secret"))
    assert credentials.checkPassword(b"secret") is False


def test_answer_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right answer goes to same_octets first, the client's second."""
    calls = []
    monkeypatch.setattr(cram, "same_octets", lambda *args: calls.append(args))
    credentials = CramMD5Credentials()
    credentials.setResponse(answer(credentials.getChallenge(), b"alice", b"secret"))
    credentials.checkPassword(b"secret")
    assert calls == [(credentials.response.decode(), credentials.response)]


def test_login_at_a_checker(outcome: Outcome) -> None:
    """A checker that keeps passwords in clear lets the right answer in, and no other."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    for password, known in ((b"secret", True), (b"wrong", False)):
        credentials = CramMD5Credentials("h")
        credentials.setResponse(answer(credentials.getChallenge(), b"alice", password))
        login = checker.requestAvatarId(credentials)
        if known:
            assert outcome(login) == b"alice"
        else:
            with pytest.raises(UnauthorizedLogin):
                outcome(login)
