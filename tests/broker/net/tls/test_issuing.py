"""Issuing: the content of certificates, which verifiers accept them, and their files."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from broker.net.tls.issuing import (
    Issued,
    alternative_name,
    make_authority,
    make_client,
    make_server,
    write_file,
)
from broker.net.tls.settings import TLS

DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Issued:
    """The authority that signs."""
    return make_authority("an authority")


@pytest.fixture(scope="module")
def server(authority: Issued) -> Issued:
    """A server of two names and an address."""
    return make_server(authority, ["broker.example", "*.broker.example", "127.0.0.1"])


@pytest.fixture(scope="module")
def client(authority: Issued) -> Issued:
    """A client."""
    return make_client(authority, "alice@example.com")


def extension(issued: Issued, kind: Any) -> Any:
    """One extension's value."""
    return issued.certificate.extensions.get_extension_for_class(kind).value


def lifetime(issued: Issued) -> datetime.timedelta:
    """From the first second to the last, both included."""
    certificate = issued.certificate
    span = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return span + datetime.timedelta(seconds=1)


def test_an_authority(authority: Issued) -> None:
    """It may sign leaves but not authorities, for ten years."""
    constraints = extension(authority, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = extension(authority, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert lifetime(authority) == 3650 * DAY
    subject = authority.certificate.subject
    assert subject == authority.certificate.issuer
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "an authority"


def test_leaves(server: Issued, client: Issued) -> None:
    """A leaf is for one end only, signs nothing, and lasts 397 days from ten minutes ago."""
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    now = datetime.datetime.now(datetime.UTC)
    for leaf, purpose in zip([server, client], purposes, strict=True):
        assert list(extension(leaf, x509.ExtendedKeyUsage)) == [purpose]
        assert not extension(leaf, x509.BasicConstraints).ca
        usage = extension(leaf, x509.KeyUsage)
        assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
        assert lifetime(leaf) == 397 * DAY
        ago = now - leaf.certificate.not_valid_before_utc
        assert datetime.timedelta(minutes=9) < ago < datetime.timedelta(minutes=20)


def test_the_names_of_a_server(server: Issued) -> None:
    """Host names and addresses are alternative names, each of its kind; the first is shown."""
    names = extension(server, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["broker.example", "*.broker.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    (name,) = server.certificate.subject
    assert name.value == "broker.example"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice", x509.DNSName("alice")),
        ("bücher.example", x509.DNSName("xn--bcher-kva.example")),
        ("alice@example.com", x509.RFC822Name("alice@example.com")),
        ("spiffe://example/alice", x509.UniformResourceIdentifier("spiffe://example/alice")),
        ("2001:db8::1", alternative_name("2001:0db8::0001")),
    ],
)
def test_kinds_of_names(text: str, name: x509.GeneralName) -> None:
    """The kind of an alternative name depends on its form."""
    assert alternative_name(text) == name
    assert isinstance(alternative_name("2001:db8::1"), x509.IPAddress)


@pytest.mark.parametrize("text", ["", " alice", "älice@example.com", "urn:ä", "a" * 64 + "ä.com"])
def test_what_is_no_name(text: str) -> None:
    """A name that cannot be in a certificate is a ValueError."""
    with pytest.raises(ValueError):
        alternative_name(text)


@pytest.mark.parametrize("names", [[], ["alice@example.com"], ["pbs://broker.example"]])
def test_no_host(authority: Issued, names: list[str]) -> None:
    """A server's certificate is for hosts, and for at least one."""
    with pytest.raises(ValueError, match=r"needs a name|is not a host name or an address"):
        make_server(authority, names)


def test_a_leaf_ends_with_its_authority() -> None:
    """A leaf never outlives its authority."""
    authority = make_authority("short", 3 * DAY)
    leaf = make_client(authority, "alice")
    assert leaf.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_strict_verifier(authority: Issued, server: Issued, client: Issued) -> None:
    """The path validation of web browsers' rules takes both, each for its own end."""
    policy = PolicyBuilder().store(Store([authority.certificate]))
    as_server = policy.build_server_verifier(x509.DNSName("broker.example"))
    as_server.verify(server.certificate, [])
    found = policy.build_client_verifier().verify(client.certificate, [])
    assert found.subjects == [x509.RFC822Name("alice@example.com")]
    with pytest.raises(VerificationError):
        policy.build_client_verifier().verify(server.certificate, [])


def test_openssl(tmp_path: Path, authority: Issued, server: Issued) -> None:
    """The openssl command takes them at its strictest."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "server.pem").write_bytes(server.certificate_pem)
    command = "openssl verify -x509_strict -purpose sslserver -CAfile ca.pem server.pem"
    done = subprocess.run(
        command.split(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("server.pem: OK\n", "")


def test_a_connection(authority: Issued, client: Issued) -> None:
    """Both ends of TLS take them from their PEM texts."""
    here = make_server(authority, ["localhost"])
    ca = authority.certificate_pem
    theirs = TLS.server(here.certificate_pem, here.key_pem, client_ca=ca).filter()
    settings = TLS.client(ca=ca, certificate=client.certificate_pem, key=client.key_pem)
    ours = settings.filter("localhost")
    for _ in range(3):
        theirs.receive(ours.data_to_send())
        ours.receive(theirs.data_to_send())
    assert theirs.is_open
    assert theirs.peer_certificate == client.certificate


@pytest.mark.parametrize(("is_secret", "mode"), [(True, 0o600), (False, 0o644)])
def test_files(tmp_path: Path, is_secret: bool, mode: int) -> None:
    """A file is written or replaced atomically, and only the owner can read a secret."""
    path = tmp_path / "file"
    for data in (b"one", b"two"):
        write_file(path, data, is_secret=is_secret)
        assert path.read_bytes() == data
        assert path.stat().st_mode & 0o777 == mode
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The old file stays when the new content cannot be written."""
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", b"x", is_secret=False)
    assert os.listdir(tmp_path) == ["folder"]
