"""cred.tokens and cred.jws: JWTs that another library has made, good ones and bad ones."""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from support.rewriting import rewrite_in_place

from broker.errors import ConfigError
from cred import Identity, Token
from cred.error import UnauthorizedLogin
from cred.strcred import InvalidAuthArgumentString, findCheckerFactory, makeChecker
from cred.tokens import LONGEST_TOKEN, TokenChecker

NOW = 1_800_000_000.0
ISSUER, AUDIENCE = "https://id.example", "pb"
PRIVATE: dict[str, Any] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "exp": NOW + 600,
    "groups": ["staff", "admin"],
}


def public(algorithm: str, **more: Any) -> dict[str, Any]:
    """Return the public key for an algorithm, as a JSON Web Key."""
    made = jwt.get_algorithm_by_name(algorithm)
    key = json.loads(made.to_jwk(PRIVATE[algorithm].public_key()))
    return {**key, "kid": algorithm, **more}


JWKS = {"keys": [public(algorithm) for algorithm in PRIVATE]}


def token(algorithm: str = "EdDSA", headers: Any = None, key: Any = None, **changed: Any) -> str:
    """Make a token that is right, but for what is changed; None leaves a claim out."""
    claims = {name: value for name, value in (CLAIMS | changed).items() if value is not None}
    return jwt.encode(
        claims, key or PRIVATE[algorithm], algorithm, headers={"kid": algorithm, **(headers or {})}
    )


def unsigned(**header: Any) -> str:
    """Make a token that is signed by nobody."""
    parts = (json.dumps(part).encode() for part in (header, CLAIMS))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def checker(keys: Any = None, **options: Any) -> TokenChecker:
    """Make a checker whose clock stands still."""
    settings = {"issuer": ISSUER, "audience": AUDIENCE, "clock": lambda: NOW, **options}
    return TokenChecker(JWKS if keys is None else keys, **settings)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_a_good_token(algorithm: str) -> None:
    """Each of the three algorithms is taken; the avatar id knows groups and end."""
    alice = checker(leeway=0).requestAvatarId(Token(token(algorithm)))
    assert isinstance(alice, Identity)
    assert (alice, alice.groups, alice.expires) == ("alice", {"staff", "admin"}, NOW + 600)


def test_the_new_name_of_eddsa() -> None:
    """RFC 9864 calls it Ed25519, and so may a token."""
    header, payload = ({"alg": "Ed25519", "kid": "EdDSA"}, CLAIMS)
    parts = (json.dumps(part).encode() for part in (header, payload))
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(PRIVATE["EdDSA"].sign(signed)).rstrip(b"=")
    text = (signed + b"." + signature).decode()
    assert checker().requestAvatarId(Token(text)) == "alice"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": ["other", AUDIENCE]},
        {"groups": None},
        {"groups": "staff"},
        {"nbf": NOW + 5},
        {"iat": NOW - 3600},
        {"exp": NOW - 5},
    ],
)
def test_tokens_that_will_do(changed: dict[str, Any]) -> None:
    """Several audiences, no group or one, and clocks that differ by less than the leeway."""
    assert checker().requestAvatarId(Token(token(**changed))) == "alice"


def test_other_claims() -> None:
    """The user and the groups can be in claims of other names."""
    made = checker(user_claim="email", groups_claim="roles")
    alice = made.requestAvatarId(Token(token(email="alice@example", roles=["a"])))
    assert (alice, alice.groups) == ("alice@example", {"a"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (token(exp=NOW - 10), "token expired; get a new one"),
        (token(exp=None), "token says not until when it holds (exp)"),
        (token(exp="soon"), "token has a time that is not valid (exp)"),
        (token(exp=True), "token has a time that is not valid (exp)"),
        (token(exp=float("inf")), "token has a time that is not valid (exp)"),
        (token(nbf=NOW + 11), "token is not valid yet"),
        (token(iat=NOW + 11), "token is not valid yet"),
        (token(exp=NOW + 24 * 3600 + 1), "token is made for more than 24 hours"),
        (token(iat=NOW - 24 * 3600), "token is made for more than 24 hours"),
        (token(iss="https://evil.example"), "token is from another issuer (iss)"),
        (token(iss=None), "token is from another issuer (iss)"),
        (token(aud="other"), "token is for another audience (aud)"),
        (token(aud=["other", "another"]), "token is for another audience (aud)"),
        (token(aud=None), "token is for another audience (aud)"),
        (token(sub=None), "token names no user (sub)"),
        (token(sub=""), "token names no user (sub)"),
        (token(groups={"staff": 1}), "token has no list of names as groups (groups)"),
        (token(groups=[5]), "token has no list of names as groups (groups)"),
        (token(groups=["x"] * 1001), "token has no list of names as groups (groups)"),
        (unsigned(alg="none", kid="EdDSA"), "token is not signed with EdDSA, ES256 or RS256"),
        (unsigned(kid="EdDSA"), "token is not signed with EdDSA, ES256 or RS256"),
        (unsigned(alg="EdDSA", kid="EdDSA"), "token has a wrong signature"),
        (
            token("ES256", key=ec.generate_private_key(ec.SECP256R1())),
            "token has a wrong signature",
        ),
        (token(headers={"kid": "other"}), "token is signed by a key that this server does not have"
        " (kid)"),
        (token(headers={"kid": ""}), "token is signed by a key that this server does not have"
        " (kid)"),
        (token(headers={"kid": "RS256"}), "token is signed with another algorithm than its key is"
        " for"),
        (token(headers={"jku": "https://evil.example/keys"}), "token brings its own key (jku, jwk,"
        " x5u or x5c)"),
        (token(headers={"x5u": "https://evil.example/"}), "token brings its own key (jku, jwk, x5u"
        " or x5c)"),
        (token(headers={"jwk": public("EdDSA")}), "token brings its own key (jku, jwk, x5u or"
        " x5c)"),
        (token(headers={"crit": ["b64"], "b64": False}), "token has a wrong signature"),
        ("", "token is malformed"),
        ("a.b", "token is malformed"),
        ("a.b.c.d", "token is malformed"),
        ("é.b.c", "token is malformed"),
        ("e30.e30.e30", "token is not signed with EdDSA, ES256 or RS256"),
        ("NQ.e30.e30", "token is malformed"),
        ("[" * 3000 + ".e30.e30", "token is malformed"),
        ("x" * (LONGEST_TOKEN + 1), "a token is text of 8192 characters at most"),
        (b"bytes", "a token is text of 8192 characters at most"),
    ],
)  # fmt: skip
def test_a_bad_token(text: Any, told: str) -> None:
    """Each fault has its text, which repeats nothing of the token."""
    with pytest.raises(UnauthorizedLogin) as caught:
        checker().requestAvatarId(Token(text))
    assert str(caught.value) == told


def test_a_public_key_is_no_shared_secret() -> None:
    """Signed by HS256 with the public key, which everybody has, a token is refused."""
    pem = (
        PRIVATE["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    signer = jwt.get_algorithm_by_name("HS256")
    start = unsigned(alg="HS256", kid="RS256").removesuffix(".")
    signature = base64.urlsafe_b64encode(signer.sign(start.encode(), pem)).rstrip(b"=")
    with pytest.raises(UnauthorizedLogin, match=r"^token is not signed with EdDSA, ES256 or RS256"):
        checker().requestAvatarId(Token(f"{start}.{signature.decode()}"))


def test_a_signed_list() -> None:
    """What is signed must be claims, not just any JSON."""
    text = jwt.api_jws.encode(b"[1]", PRIVATE["ES256"], "ES256", headers={"kid": "ES256"})
    with pytest.raises(UnauthorizedLogin, match=r"^token is malformed$"):
        checker().requestAvatarId(Token(text))


WEAK = json.loads(
    jwt.get_algorithm_by_name("RS256").to_jwk(rsa.generate_private_key(65537, 1024).public_key())
)


@pytest.mark.parametrize(
    ("jwks", "told"),
    [
        ({}, "the key set is not a JSON Web Key Set: an object with a list 'keys'"),
        ({"keys": {}}, "the key set is not a JSON Web Key Set: an object with a list 'keys'"),
        ({"keys": []}, "the key set has no key with a kid for EdDSA, ES256 or RS256"),
        ({"keys": [5]}, "the key set has a key that is not a JSON object"),
        (
            {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "1"}]},
            "the key set holds a secret key; a server needs the public keys only",
        ),
        (
            {"keys": [public("EdDSA", d="c2VjcmV0")]},
            "the key set holds a secret key; a server needs the public keys only",
        ),
        ({"keys": [public("EdDSA")] * 2}, "the key set has two keys with the same kid"),
        ({"keys": [public("ES256", x="")]}, "the key set has a key that cannot be read: "),
        ({"keys": [WEAK | {"kid": "1"}]}, "the key set has an RSA key below 2048 bits"),
        ({"keys": [public("EdDSA", use="enc")]}, "the key set has no key with a kid for"),
        ({"keys": [public("RS256", alg="PS256")]}, "the key set has no key with a kid for"),
        ({"keys": [public("EdDSA", kid=None)]}, "the key set has no key with a kid for"),
    ],
)
def test_bad_keys(jwks: Any, told: str) -> None:
    """A key set that is none, is secret, or of no use is found when the checker is made."""
    with pytest.raises(ConfigError) as caught:
        checker(jwks)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"issuer": ""}, "tokens need issuer= and audience=: whose are believed, and for whom"),
        ({"audience": ""}, "tokens need issuer= and audience=: whose are believed, and for whom"),
        ({"leeway": 61}, "leeway= is from 0 to 60 seconds"),
        ({"leeway": -1}, "leeway= is from 0 to 60 seconds"),
    ],
)
def test_bad_settings(options: dict[str, Any], told: str) -> None:
    """Tokens of any issuer, for anybody, or valid long after their end, cannot be asked for."""
    with pytest.raises(ConfigError) as caught:
        checker(**options)
    assert str(caught.value) == told


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """A file with the keys."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(JWKS))
    return path


def test_new_keys_in_the_file(keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file is read again when it has changed; a wrong one leaves the keys as they are."""
    made = checker(keys_file)
    made.requestAvatarId(Token(token("RS256")))
    keys_file.write_text("[")
    for _ in range(2):
        made.requestAvatarId(Token(token("RS256")))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().endswith("it must be a JSON Web Key Set; still using the old keys")
    keys_file.write_text(json.dumps({"keys": [public("ES256")]}))
    with pytest.raises(UnauthorizedLogin, match=r"a key that this server does not have \(kid\)$"):
        made.requestAvatarId(Token(token("RS256")))
    keys_file.unlink()
    made.requestAvatarId(Token(token("ES256")))


def test_a_file_of_keys_whose_times_are_set_back(keys_file: Path) -> None:
    """A file of the same size and with the same time of writing is read again, too."""
    made = checker(keys_file)
    other = keys_file.read_bytes().replace(b'"kid": "RS256"', b'"kid": "RS257"')
    rewrite_in_place(keys_file, other)
    with pytest.raises(UnauthorizedLogin, match=r"a key that this server does not have \(kid\)$"):
        made.requestAvatarId(Token(token("RS256")))


def test_from_a_string(keys_file: Path) -> None:
    """``jwt:`` makes a checker of a path and options."""
    made = makeChecker(f"jwt:{keys_file}?issuer={ISSUER}&audience=pb&user=email&leeway=0")
    assert isinstance(made, TokenChecker)
    assert (made._user_claim, made._leeway, made._issuer) == ("email", 0, ISSUER)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "keys.json",
        "keys.json?issuer=x",
        "?issuer=x&audience=y",
        "keys.json?issuer=x&audience=y&isuer=z",
        "keys.json?issuer=x&audience=y&leeway=long",
        "keys.json?issuer",
    ],
)
def test_a_bad_string(argument: str) -> None:
    """Anything else is told what the scheme takes."""
    with pytest.raises(InvalidAuthArgumentString, match=r"^jwt: it takes keys.json\?issuer=URL&"):
        findCheckerFactory("jwt").generateChecker(argument)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is a setting to mend, and named."""
    with pytest.raises(ConfigError, match=r"^cannot read the keys .*none.json: No such file"):
        checker(tmp_path / "none.json")


def test_without_joserfc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing, the error says what to install."""
    monkeypatch.delitem(sys.modules, "cred.jws", raising=False)
    hide: Callable[..., None] = monkeypatch.setitem  # a None in its place makes importing fail
    for name in [name for name in sys.modules if name.partition(".")[0] == "joserfc"]:
        hide(sys.modules, name, None)
    hide(sys.modules, "joserfc", None)
    with pytest.raises(ConfigError) as caught:
        checker()
    assert str(caught.value) == "tokens need joserfc: pip install 'perspective-broker[jwt]'"


def signed(header: Any, claims: bytes) -> str:
    """Sign anything at all with the key for EdDSA."""
    parts = (json.dumps(header).encode(), claims)
    content = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(PRIVATE["EdDSA"].sign(content)).rstrip(b"=")
    return (content + b"." + signature).decode()


def refused_or_let_in(text: Any) -> None:
    """Check that a token is refused as such, unless it is right."""
    try:
        identity = checker().requestAvatarId(Token(text))
    except UnauthorizedLogin as error:
        assert len(str(error)) < 200
    else:
        str(identity).encode()
        assert NOW < (identity.expires or 0) < NOW + 25 * 3600
        assert all(group.encode() for group in identity.groups)


HEADER = {"alg": "EdDSA", "kid": "EdDSA"}
SHAPES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["EdDSA", "none", "b64", NOW + 600, 10**400, -(10**400), [[[]]], "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
HEADERS = ["alg", "kid", "typ", "cty", "crit", "b64", "x5t", "zip", "enc", "p2c", "epk", "iv"]


@given(st.dictionaries(st.sampled_from(HEADERS) | st.text(max_size=3), SHAPES, max_size=4))
@example({"alg": []})
@example({"alg": {}})
@example({"kid": []})
@example({"crit": 5})
@example({"crit": [[]]})
@example({"crit": [], "b64": False})
def test_any_header(changed: dict[str, Any]) -> None:
    """Whatever JSON can put into a header, a token is let in or is refused, and nothing else."""
    claims = json.dumps(CLAIMS).encode()
    refused_or_let_in(signed(HEADER | changed, claims))
    refused_or_let_in(signed(changed, claims))


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "iat"]), SHAPES, max_size=4))
@example({"exp": 10**400})
@example({"nbf": -(10**400)})
@example({"iat": [NOW]})
@example({"groups": [["staff"]]})
@example({"groups": {"staff": 1}})
@example({"sub": ["alice"]})
@example({"sub": "\ud800"})
@example({"groups": ["\udfff"]})
@example({"groups": ""})
@example({"groups": ["staff", ""]})
@example({"aud": [[AUDIENCE], {}]})
def test_any_claims(changed: dict[str, Any]) -> None:
    """So it is with the claims of one that is signed."""
    refused_or_let_in(signed(HEADER, json.dumps(CLAIMS | changed).encode()))


@given(st.binary(max_size=200) | SHAPES.map(lambda shape: json.dumps(shape).encode()))
@example(b"[" * 5000)
@example(b'{"exp":' + b"1" * 5000 + b"}")
@example(b'{"exp": 1e999}')
@example(b'{"exp": NaN}')
def test_any_payload(payload: bytes) -> None:
    """So it is with a payload that is no claims at all."""
    refused_or_let_in(signed(HEADER, payload))


@given(st.text(st.characters(), max_size=100) | SHAPES)
@example("..")
@example("\ud800.\ud800.\ud800")
@example("e30.e30.e30")
def test_any_token(text: Any) -> None:
    """So it is with what is no token."""
    refused_or_let_in(text)
