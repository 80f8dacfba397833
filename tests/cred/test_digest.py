"""cred.digest: HTTP Digest authentication, beside Twisted's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
import twisted.cred.credentials
import twisted.cred.error
from hypothesis import given
from hypothesis import strategies as st
from support.effort import units
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from cred import digest
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import IUsernameDigestHash, IUsernameHashedPassword
from cred.digest import DigestCredentialFactory, DigestedCredentials
from cred.error import LoginFailed

Outcome = Callable[[Any], Any]

Theirs = twisted.cred.credentials.DigestCredentialFactory
ADDRESS = b"10.2.3.4"
ALGORITHMS = [b"md5", b"md5-sess", b"sha"]
HASHES = {b"md5": hashlib.md5, b"md5-sess": hashlib.md5, b"sha": hashlib.sha1}


class Clock:
    """Stands in for the module time."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        """Return what the test has set."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of our factories and of Twisted's."""
    clock = Clock()
    monkeypatch.setattr(digest, "time", clock)
    monkeypatch.setattr(Theirs, "_getTime", lambda self: clock.now)
    return clock


def make_pair(algorithm: bytes = b"md5") -> tuple[DigestCredentialFactory, Any]:
    """A factory of ours and one of Twisted's that share a key."""
    ours, theirs = DigestCredentialFactory(algorithm, b"a realm"), Theirs(algorithm, b"a realm")
    theirs.privateKey = ours.privateKey
    return ours, theirs


def answer(challenge: dict[str, bytes], password: bytes, **other: bytes | None) -> dict[str, bytes]:
    """The fields with which a client answers; computed as RFC 2617 says, by nobody's class."""
    fields: dict[str, bytes | None] = {
        "username": b"alice",
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "uri": b"/write/",
        "algorithm": challenge["algorithm"],
        "opaque": challenge["opaque"],
        "qop": b"auth",
        "nc": b"00000001",
        "cnonce": b"29fc54aa1641c6fa0e151419361c8f23",
        **other,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    algorithm = given.get("algorithm", b"md5").lower()

    def hashed(*parts: bytes) -> bytes:
        return HASHES[algorithm](b":".join(parts)).hexdigest().encode()

    identity = hashed(given["username"], challenge["realm"], password)
    if algorithm == b"md5-sess":
        identity = hashed(identity, given["nonce"], given["cnonce"])
    counted: tuple[bytes, ...] = ()
    if "nc" in given and "cnonce" in given:
        counted = (given["nc"], given["cnonce"], given.get("qop", b"auth"))
    request = hashed(b"GET", given["uri"])
    return {"response": hashed(identity, given["nonce"], *counted, request), **given}


def write(fields: dict[str, bytes]) -> bytes:
    """The fields as a header, quoted but for those that clients do not quote."""
    bare = ("nc", "algorithm", "qop")
    return b", ".join(
        name.encode() + (b"=" + value if name in bare else b'="' + value + b'"')
        for name, value in fields.items()
    )


def decode(factory: Any, header: Any, method: Any = b"GET", host: Any = ADDRESS) -> Any:
    """What a factory makes of a header: the credentials' content, or the text of its refusal."""
    try:
        made = factory.decode(header, method, host)
    except (LoginFailed, twisted.cred.error.LoginFailed) as error:
        return str(error)
    return made.username, made.method, made.realm, made.fields


def seal(factory: Any, content: bytes) -> bytes:
    """An opaque that the factory has signed, whatever its content."""
    signature = hashlib.md5(content + factory.privateKey).hexdigest().encode()
    return signature + b"-" + base64.b64encode(content)


# The factory.


def test_factory_has_the_published_attributes() -> None:
    """Lifetime and scheme are Twisted's; the arguments can be read back; each has its own key."""
    first, second = DigestCredentialFactory("MD5", "realm"), DigestCredentialFactory(b"sha", b"r")
    assert (first.scheme, first.CHALLENGE_LIFETIME_SECS) == (b"digest", 900)
    assert (Theirs.scheme, Theirs.CHALLENGE_LIFETIME_SECS) == (b"digest", 900)
    assert (first.algorithm, first.authenticationRealm) == ("MD5", "realm")
    assert (second.algorithm, second.authenticationRealm) == (b"sha", b"r")
    assert first.privateKey != second.privateKey
    assert len(first.privateKey) == 16


@pytest.mark.parametrize("algorithm", ["", "md4", b"sha-256", "auth"])
def test_unknown_algorithm_is_refused_at_once(algorithm: Any) -> None:
    """A factory cannot be made for an algorithm with which no login would work."""
    with pytest.raises(ValueError, match=r"is md5, md5-sess or sha$"):
        DigestCredentialFactory(algorithm, "realm")


@pytest.mark.parametrize("as_text", [True, False])
def test_challenge_has_the_published_fields(as_text: bool) -> None:
    """A challenge has Twisted's fields, all bytes, in whatever form the arguments came."""
    if as_text:
        challenge = DigestCredentialFactory("SHA", "réalm").getChallenge("10.2.3.4")
    else:
        factory = DigestCredentialFactory(b"SHA", "réalm".encode())
        challenge = factory.getChallenge(ADDRESS)
    assert set(challenge) == set(Theirs(b"sha", b"r").getChallenge(ADDRESS))
    assert challenge["qop"] == b"auth"
    assert challenge["algorithm"] == b"SHA"
    assert challenge["realm"] == "réalm".encode()
    assert len(bytes.fromhex(challenge["nonce"].decode())) == 12


def test_challenges_are_fresh() -> None:
    """No two challenges have a nonce or an opaque in common."""
    factory = DigestCredentialFactory("md5", "realm")
    made = [factory.getChallenge(ADDRESS) for _ in range(100)]
    assert len({each["nonce"] for each in made}) == 100
    assert len({each["opaque"] for each in made}) == 100


def test_nonce_and_key_come_from_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can foretell a nonce or the factory's key."""
    monkeypatch.setattr(digest.secrets, "token_bytes", lambda size: b"\x07" * size)
    monkeypatch.setattr(digest.secrets, "token_hex", lambda size: "ab" * size)
    factory = DigestCredentialFactory("md5", "realm")
    assert factory.privateKey == b"\x07" * 16
    assert factory.getChallenge(None)["nonce"] == b"ab" * 12


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.decode(), b"", "", None])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("challenger", ["ours", "theirs"])
def test_a_right_answer_is_right_for_both(challenger: str, algorithm: bytes, address: Any) -> None:
    """Whoever gave the challenge, both decode the answer alike and accept its password alone."""
    ours, theirs = make_pair(algorithm)
    challenge = (ours if challenger == "ours" else theirs).getChallenge(address)
    header = write(answer(challenge, b"secret"))
    for factory in (ours, theirs):
        credentials = factory.decode(header, b"GET", address)
        assert credentials.checkPassword(b"secret") is True
        assert credentials.checkPassword(b"wrong") is False
    assert decode(ours, header, host=address) == decode(theirs, header, host=address)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"", "Invalid response, no username given."),
        (b"nothing here", "Invalid response, no username given."),
        (b'username="",opaque="x-y",nonce="z"', "Invalid response, no username given."),
        (b'username="alice"', "Invalid response, no opaque given."),
        (b'username="alice",nonce="z"', "Invalid response, no opaque given."),
        (b'username="alice",opaque="x-y"', "Invalid response, no nonce given."),
        (
            b'username="alice",nonce="z",opaque="nodash"',
            "Invalid response, invalid opaque value",
        ),
        (
            b'username="alice",nonce="z",opaque="a-b-c"',
            "Invalid response, invalid opaque value",
        ),
        (
            b'username="alice",nonce="z",opaque="a-' + base64.b64encode(b"z,1") + b'"',
            "Invalid response, invalid opaque value",
        ),
    ],
)
def test_incomplete_answer_is_refused_as_by_twisted(header: bytes, text: str) -> None:
    """What lacks a user name, an opaque or a nonce fails with the published text."""
    ours, theirs = make_pair()
    assert decode(ours, header) == text == decode(theirs, header)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"another,10.2.3.4,1700000000", "Invalid response, incompatible opaque/nonce values"),
        (b"nonce,10.2.3.5,1700000000", "Invalid response, incompatible opaque/client values"),
        (b"nonce,,1700000000", "Invalid response, incompatible opaque/client values"),
        (b"nonce,10.2.3.4,now", "Invalid response, invalid opaque/time values"),
        (b"nonce,10.2.3.4,1699999099", "Invalid response, incompatible opaque/nonce too old"),
        (b"nonce,10.2.3.4", "Invalid response, invalid opaque value"),
        (b"nonce,10.2.3.4,1700000000,", "Invalid response, invalid opaque value"),
    ],
)
def test_answer_to_another_challenge_is_refused_as_by_twisted(
    content: bytes, text: str, clock: Clock
) -> None:
    """An opaque for another nonce, another client or another time fails with the published text."""
    ours, theirs = make_pair()
    header = b'username="alice",nonce="nonce",opaque="' + seal(ours, content) + b'"'
    assert decode(ours, header) == text == decode(theirs, header)


def test_forged_opaque_is_refused_as_by_twisted(clock: Clock) -> None:
    """An opaque with the right content and another signature is not the factory's."""
    ours, theirs = make_pair()
    stranger = DigestCredentialFactory("md5", "a realm")
    header = write(answer(stranger.getChallenge(ADDRESS), b"secret"))
    text = "Invalid response, invalid opaque value"
    assert decode(ours, header) == text == decode(theirs, header)
    assert isinstance(decode(stranger, header), tuple)


def test_opaque_with_a_second_dash_is_refused_as_by_twisted() -> None:
    """An opaque has one dash; base64 would read over another."""
    ours, theirs = make_pair()
    challenge = ours.getChallenge(ADDRESS)
    header = write(answer({**challenge, "opaque": challenge["opaque"] + b"-"}, b"secret"))
    assert (
        decode(ours, header) == "Invalid response, invalid opaque value" == decode(theirs, header)
    )


def test_signature_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right signature goes to compare_digest first, the client's second."""
    calls = []

    class Hmac:
        @staticmethod
        def compare_digest(*args: Any) -> bool:
            calls.append(args)
            return hmac.compare_digest(*args)

    monkeypatch.setattr(digest, "hmac", Hmac)
    factory = DigestCredentialFactory("md5", "realm")
    challenge = factory.getChallenge(ADDRESS)
    forged = {**challenge, "opaque": b"0" + challenge["opaque"][1:]}
    for sent in (challenge, forged):
        decode(factory, write(answer(sent, b"secret")))
    right = challenge["opaque"].partition(b"-")[0]
    assert calls == [(right, right), (right, b"0" + right[1:])]


@pytest.mark.parametrize("challenger", ["ours", "theirs"])
def test_challenge_can_be_answered_for_its_lifetime(challenger: str, clock: Clock) -> None:
    """At 900 seconds an answer is in time, at 901 it is too old."""
    ours, theirs = make_pair()
    challenge = (ours if challenger == "ours" else theirs).getChallenge(ADDRESS)
    header = write(answer(challenge, b"secret"))
    clock.now += 900
    assert decode(ours, header) == decode(theirs, header)
    assert isinstance(decode(ours, header), tuple)
    clock.now += 1
    text = "Invalid response, incompatible opaque/nonce too old"
    assert decode(ours, header) == text == decode(theirs, header)


def test_lifetime_can_be_set_in_a_subclass(clock: Clock) -> None:
    """A subclass with another lifetime is asked for its own."""

    class Brief(DigestCredentialFactory):
        CHALLENGE_LIFETIME_SECS = 5

    factory = Brief("md5", "realm")
    header = write(answer(factory.getChallenge(ADDRESS), b"secret"))
    clock.now += 6
    assert decode(factory, header).endswith("too old")


@pytest.mark.parametrize("opaque", [b"a-A", b"a-####A", b"a-\xff"])
def test_opaque_that_is_no_base64_is_refused(opaque: bytes) -> None:
    """Where Twisted lets an error of the base64 module out, the login fails."""
    header = b'username="alice",nonce="z",opaque="' + opaque + b'"'
    factory = DigestCredentialFactory("md5", "realm")
    assert decode(factory, header) == "Invalid response, invalid opaque value"


def test_name_that_is_not_ascii_is_refused() -> None:
    """Where Twisted lets a UnicodeDecodeError out, the login fails."""
    factory = DigestCredentialFactory("md5", "realm")
    assert decode(factory, b'us\xe9r="alice"') == "Invalid response, a name is not ASCII"


def test_header_may_be_text_and_folded() -> None:
    """A header is read as str too, and over several lines."""
    ours, theirs = make_pair()
    fields = answer(ours.getChallenge(ADDRESS), b"secret")
    folded = write(fields).replace(b", ", b",\r\n  ")
    assert decode(ours, folded) == decode(theirs, folded) == decode(ours, folded.decode())
    assert decode(ours, folded)[3] == fields


HEADER_PARTS = st.sampled_from(
    [b"=", b",", b" ", b'"', b"\n", b"\t", b"a", b"username", b"nonce", b"opaque", b"seal", b"x=y,"]
)


@given(st.lists(HEADER_PARTS, max_size=30))
def test_any_header_is_read_as_by_twisted(parts: list[bytes]) -> None:
    """However a header is garbled, both find the same fields in it, or refuse it alike."""
    ours, theirs = make_pair()
    sealed = seal(ours, b"nonce," + ADDRESS + b",%d" % time.time())
    whole = b'username="alice",nonce="nonce",opaque="' + sealed + b'",'
    garbled = b"".join(parts)
    for header in (whole + garbled, garbled, garbled + whole):
        assert decode(ours, header) == decode(theirs, header)


@pytest.mark.parametrize("filler", [b"a", b"=", b'"', b'a="', b"a=,", b" ", b'=",'])
def test_reading_takes_linear_time(filler: bytes) -> None:
    """A megabyte of anything is read in one pass: no client can buy time with a header."""
    factory = DigestCredentialFactory("md5", "realm")
    header = filler * (1_000_000 // len(filler))
    assert units(lambda: isinstance(decode(factory, header), str), 250) <= 250
    assert isinstance(decode(factory, header), str)


# The credentials.


def make_answer(**other: Any) -> DigestedCredentials:
    """Credentials with the right answer to the password "secret", fields changed afterwards."""
    factory = DigestCredentialFactory("md5", "a realm")
    fields: dict[str, Any] = answer(factory.getChallenge(ADDRESS), b"secret")
    fields.update(other)
    given = {name: value for name, value in fields.items() if value is not None}
    return DigestedCredentials(b"alice", b"GET", b"a realm", given)


def test_credentials_are_of_both_kinds() -> None:
    """They provide, and fulfil, IUsernameHashedPassword and IUsernameDigestHash."""
    credentials = make_answer()
    assert list(providedBy(credentials)) == [IUsernameHashedPassword, IUsernameDigestHash]
    assert verifyObject(IUsernameHashedPassword, credentials)
    assert verifyObject(IUsernameDigestHash, credentials)


def test_answer_of_the_rfc() -> None:
    """The example of RFC 2617 is accepted."""
    fields = {
        "nonce": b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "uri": b"/dir/index.html",
        "qop": b"auth",
        "nc": b"00000001",
        "cnonce": b"0a4f113b",
        "response": b"6629fae49393a05397450978507c4ef1",
    }
    credentials = DigestedCredentials(b"Mufasa", b"GET", b"testrealm@host.com", fields)
    assert credentials.checkPassword(b"Circle Of Life")
    assert credentials.checkHash(b"939e7578ed9e3c518a452acee763bce9")
    assert not credentials.checkPassword(b"Circle Of Death")


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, b"MD5-Sess", b"SHA", None])
@pytest.mark.parametrize("left_out", [(), ("qop",), ("nc",), ("cnonce",), ("qop", "nc", "cnonce")])
def test_ours_and_twisted_agree_on_answers(
    algorithm: bytes | None, left_out: tuple[str, ...]
) -> None:
    """With and without counted nonces, with each algorithm or none, both say the same."""
    other: dict[str, None] = dict.fromkeys(left_out)
    if algorithm == b"MD5-Sess" or algorithm == b"md5-sess":
        other.pop("cnonce", None)  # part of what is hashed
    factory = DigestCredentialFactory("md5", "a realm")
    fields = answer(factory.getChallenge(ADDRESS), b"secret", algorithm=algorithm, **other)
    hashed = HASHES[(algorithm or b"md5").lower()](b"alice:a realm:secret").hexdigest().encode()
    cls = twisted.cred.credentials.DigestedCredentials
    for kind in (DigestedCredentials, cls):
        credentials = kind(b"alice", b"GET", b"a realm", fields)
        assert credentials.checkPassword(b"secret") is True
        assert credentials.checkHash(hashed) is True
        assert credentials.checkPassword(b"wrong") is False
        assert credentials.checkHash(hashed[::-1]) is False
        other_method = kind(b"alice", b"POST", b"a realm", fields)
        assert other_method.checkPassword(b"secret") is False
        other_realm = kind(b"alice", b"GET", b"another", fields)
        assert other_realm.checkPassword(b"secret") is False


def test_answer_that_covers_a_body_is_wrong() -> None:
    """The body is not known here: an auth-int answer is refused, where Twisted raises TypeError."""
    factory = DigestCredentialFactory("md5", "a realm")
    fields = answer(factory.getChallenge(ADDRESS), b"secret", qop=b"auth-int")
    credentials = DigestedCredentials(b"alice", b"GET", b"a realm", fields)
    assert credentials.checkPassword(b"secret") is False
    theirs = twisted.cred.credentials.DigestedCredentials(b"alice", b"GET", b"a realm", fields)
    with pytest.raises(TypeError):
        theirs.checkPassword(b"secret")


def test_everything_may_be_text() -> None:
    """User name, method, realm, fields and password are taken as str too."""
    made = make_answer()
    fields = {name: value.decode() for name, value in made.fields.items()}  # type: ignore[union-attr]
    credentials = DigestedCredentials("alice", "GET", "a realm", fields)
    hashed = hashlib.md5(b"alice:a realm:secret").hexdigest()
    assert credentials.checkPassword("secret") is made.checkPassword("secret") is True
    assert credentials.checkHash(hashed) is made.checkHash(hashed) is True


@pytest.mark.parametrize(
    "other",
    [
        {"response": None},
        {"response": b""},
        {"uri": None},
        {"nonce": None},
        {"algorithm": b"sha-256"},
        {"algorithm": b"md5-sess", "cnonce": None},
        {"algorithm": 7},
        {"qop": b"auth-int"},
        {"qop": b"other"},
        {"nc": b"00000002"},
        {"cnonce": b"0"},
        {"uri": b"/other/"},
        {"nonce": b"other"},
        {"algorithm": b"sha"},
    ],
)
def test_answer_that_cannot_be_right_is_wrong(other: dict[str, Any]) -> None:
    """A field that is missing, unknown or changed makes the answer wrong; none is an error."""
    assert make_answer().checkPassword(b"secret") is True
    assert make_answer(**other).checkPassword(b"secret") is False
    hashed = hashlib.md5(b"alice:a realm:secret").hexdigest()
    assert make_answer(**other).checkHash(hashed) is False


@pytest.mark.parametrize("password", [None, 7, [b"secret"]])
def test_password_of_another_type_is_wrong(password: Any) -> None:
    """What is no text is no password of anybody, and no hash of one."""
    assert make_answer().checkPassword(password) is False
    assert make_answer().checkHash(password) is False


def test_answer_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The right answer goes to same_octets first, the client's second."""
    calls = []
    monkeypatch.setattr(digest, "same_octets", lambda *args: calls.append(args))
    credentials = make_answer()
    right = credentials.fields["response"]
    credentials.fields = {**credentials.fields, "response": b"offered"}
    credentials.checkPassword(b"secret")
    assert calls == [(right, b"offered")]


def test_login_at_a_checker(outcome: Outcome) -> None:
    """A checker that keeps passwords in clear lets the answer in, by the name in the header."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")
    factory = DigestCredentialFactory("md5", "a realm")
    header = write(answer(factory.getChallenge("10.2.3.4"), b"secret"))
    assert outcome(checker.requestAvatarId(factory.decode(header, "GET", "10.2.3.4"))) == b"alice"
