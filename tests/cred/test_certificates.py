"""cred.certificates: whose a client certificate is. Those here are of the openssl command."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.openssl_ca import Authority, Files

from broker.errors import ConfigError
from cred import Identity
from cred.certificates import CertificateChecker, fingerprint_of
from cred.error import UnauthorizedLogin
from cred.strcred import InvalidAuthArgumentString, findCheckerFactory, makeChecker


class Shown:
    """What TLS has verified: a certificate, and those that vouch for it."""

    def __init__(self, files: Files, ca: Path):
        self.files = files
        self.certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        self.chain = (self.certificate, x509.load_pem_x509_certificate(ca.read_bytes()))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return Authority(tmp_path_factory.mktemp("openssl"))


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Shown:
    """A certificate with one name of each kind, and a common name that is somebody else's."""
    made = authority.issue(
        "email:alice@Example.ORG", "URI:urn:user:Alice", "DNS:Laptop.example", common_name="root"
    )
    return Shown(made, authority.ca)


@pytest.fixture(scope="module")
def several(authority: Authority) -> Shown:
    """A certificate of two addresses, and nothing else."""
    made = authority.issue("email:bob@example.org", "email:robert@example.org")
    return Shown(made, authority.ca)


def test_fingerprint(alice: Shown) -> None:
    """The fingerprint is the one that openssl makes of the public key."""
    key = ["openssl", "x509", "-in", alice.files.certificate, "-noout", "-pubkey"]
    pem = subprocess.run(key, check=True, capture_output=True, timeout=30).stdout
    to_der = ["openssl", "pkey", "-pubin", "-outform", "DER"]
    der = subprocess.run(to_der, input=pem, check=True, capture_output=True, timeout=30).stdout
    assert fingerprint_of(alice.certificate) == f"cert:{hashlib.sha256(der).hexdigest()}"


@pytest.mark.parametrize(
    ("by", "avatar_id"),
    [("email", "alice@example.org"), ("uri", "urn:user:Alice"), ("dns", "laptop.example")],
)
def test_by_name(alice: Shown, by: str, avatar_id: str) -> None:
    """The alternative name of the kind that counts is the avatar id; domains in lower case."""
    assert CertificateChecker(by=by).requestAvatarId(alice) == avatar_id


def test_by_key(alice: Shown) -> None:
    """Without more, the avatar id is the fingerprint of the key."""
    assert CertificateChecker().requestAvatarId(alice) == fingerprint_of(alice.certificate)


def test_users(alice: Shown, several: Shown) -> None:
    """A mapping says whose a name or key is; who is not in it does not get in."""
    admin = Identity("alice", ["admin"])
    by_email = CertificateChecker({"alice@EXAMPLE.org": admin}, by="email")
    assert by_email.requestAvatarId(alice) is admin
    by_key = CertificateChecker({fingerprint_of(alice.certificate).upper(): "alice"})
    assert by_key.requestAvatarId(alice) == "alice"
    for checker in (by_email, by_key):
        with pytest.raises(UnauthorizedLogin, match=r"^certificate belongs to no user here$"):
            checker.requestAvatarId(several)


def test_the_common_name_counts_never(alice: Shown) -> None:
    """A certificate whose common name is a user's is not that user's."""
    for by in ("key", "email", "uri", "dns"):
        with pytest.raises(UnauthorizedLogin, match="belongs to no user here"):
            CertificateChecker({"root": "root"}, by=by).requestAvatarId(alice)


def test_a_name_that_is_missing(several: Shown, authority: Authority) -> None:
    """A certificate without a name of the kind that counts is refused."""
    for by in ("uri", "dns"):
        with pytest.raises(UnauthorizedLogin) as caught:
            CertificateChecker(by=by).requestAvatarId(several)
        assert str(caught.value) == f"certificate has no {by} among its alternative names"
    without = Shown(authority.issue(), authority.ca)
    with pytest.raises(UnauthorizedLogin, match=r"^certificate has no email among"):
        CertificateChecker(by="email").requestAvatarId(without)


def test_two_users_at_once(several: Shown) -> None:
    """A certificate of two names is one user's if both are, and nobody's if they are two's."""
    with pytest.raises(UnauthorizedLogin, match=r"^certificate stands for 2 users at once$"):
        CertificateChecker(by="email").requestAvatarId(several)
    both = {"bob@example.org": "bob", "robert@example.org": "bob"}
    assert CertificateChecker(both, by="email").requestAvatarId(several) == "bob"


def test_of_another_ca(alice: Shown, tmp_path: Path) -> None:
    """Where TLS trusts more than one CA, a checker may take those of one only."""
    other = Authority(tmp_path, "other")
    for ca in (other.ca, other.ca.read_bytes()):
        with pytest.raises(UnauthorizedLogin, match=r"^certificate is not signed by a CA of this"):
            CertificateChecker(ca=ca).requestAvatarId(alice)


def test_from_a_string(alice: Shown, authority: Authority) -> None:
    """``cert:`` makes a checker for the clients of a CA, which the server can also give to TLS."""
    made: Any = makeChecker(f"cert:{authority.ca}?by=uri")
    assert made.requestAvatarId(alice) == "urn:user:Alice"
    assert made.ca == str(authority.ca)
    by_key = makeChecker(f"cert:{authority.ca}")
    assert by_key.requestAvatarId(alice) == fingerprint_of(alice.certificate)


@pytest.mark.parametrize("argument", ["", "?by=uri", "ca.pem?by=cn", "ca.pem?to=uri", "ca.pem?uri"])
def test_a_bad_string(argument: str) -> None:
    """Anything else is told what the scheme takes."""
    with pytest.raises(InvalidAuthArgumentString, match=r"^cert: it takes ca.pem, or ca.pem\?by="):
        findCheckerFactory("cert").generateChecker(argument)


def test_bad_settings(tmp_path: Path) -> None:
    """What cannot be read, is no certificate, or is no kind of name, is found at the start."""
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match=r"^cannot read .*none.pem: No such file"):
        CertificateChecker(ca=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"empty.pem holds no certificate in PEM form$"):
        CertificateChecker(ca=tmp_path / "empty.pem")
    with pytest.raises(ConfigError, match=r"^certificates are told apart by= key, email, uri or"):
        CertificateChecker(by="cn")
