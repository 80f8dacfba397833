"""Issues certificates: an authority, and the certificates it signs for servers and clients.

Keys are elliptic (P-256). An authority signs leaf certificates only, not other authorities. A leaf
says what it may be used for, so a client's certificate never passes for a server's. Lifetimes are
within the limits of common software: 397 days for a server, as browsers and the CA/Browser Forum's
baseline requirements (6.3.2) have it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from broker.net.host_names import ascii_name

__all__ = [
    "AUTHORITY_LIFETIME",
    "LEAF_LIFETIME",
    "Issued",
    "alternative_name",
    "make_authority",
    "make_client",
    "make_node",
    "make_server",
    "unsigned",
    "write_file",
]

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=397)

# A peer whose clock is behind by less than this accepts a new certificate.
_SLOW_CLOCKS = datetime.timedelta(minutes=10)
_SECOND = datetime.timedelta(seconds=1)


class Issued(Struct, frozen=True):
    """A certificate and its private key.

    Attributes:
        certificate: an object of ``cryptography``.
        key: an object of ``cryptography``; a secret.
    """

    certificate: x509.Certificate
    key: Any

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as PEM text, not encrypted."""
        pem: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem


def make_authority(name: str, lifetime: datetime.timedelta = AUTHORITY_LIFETIME) -> Issued:
    """Make a private certificate authority.

    Args:
        name: its common name, 1 to 64 characters.
        lifetime: how long it is valid from now on.

    Raises:
        ValueError: the name is too short or too long.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    first = _now() - _SLOW_CLOCKS
    builder = (
        unsigned(subject, subject, key.public_key(), first, first + lifetime - _SECOND)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Issued(builder.sign(key, hashes.SHA256()), key)


def make_server(
    authority: Issued,
    names: Sequence[str],
    *,
    common_name: str | None = None,
    lifetime: datetime.timedelta = LEAF_LIFETIME,
) -> Issued:
    """Make the certificate of a server, which a client cannot use.

    Args:
        authority: the authority that signs it.
        names: the host names and addresses of the server; at least one.
        common_name: a name for people to read; default the first of `names`.
        lifetime: how long it is valid from now on; not longer than the authority.

    Raises:
        ValueError: there is no name, or a name is not a host name.
    """
    return _of_hosts(authority, names, common_name, [ExtendedKeyUsageOID.SERVER_AUTH], lifetime)


def make_node(
    authority: Issued, names: Sequence[str], *, lifetime: datetime.timedelta = LEAF_LIFETIME
) -> Issued:
    """Make the certificate of a node of a cluster, which is a server and a client.

    Args, Raises: as of `make_server`.
    """
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _of_hosts(authority, names, None, purposes, lifetime)


def _of_hosts(
    authority: Issued,
    names: Sequence[str],
    common_name: str | None,
    purposes: list[x509.ObjectIdentifier],
    lifetime: datetime.timedelta,
) -> Issued:
    if not names:
        raise ValueError("a server's certificate needs a name at least")
    kinds = (x509.DNSName, x509.IPAddress)
    alternatives = [alternative_name(name) for name in names]
    for name, alternative in zip(names, alternatives, strict=True):
        if not isinstance(alternative, kinds):
            raise ValueError(f"{name!r} is not a host name or an address")
    return _make_leaf(authority, common_name or names[0], alternatives, purposes, lifetime)


def make_client(
    authority: Issued, name: str, *, lifetime: datetime.timedelta = LEAF_LIFETIME
) -> Issued:
    """Make the certificate of a client, which a server cannot use.

    Args:
        authority: the authority that signs it.
        name: its owner: the common name, and the alternative name; see `alternative_name`.
        lifetime: how long it is valid from now on; not longer than the authority.

    Raises:
        ValueError: the name cannot be used in a certificate.
    """
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return _make_leaf(authority, name, [alternative_name(name)], purposes, lifetime)


def alternative_name(text: str) -> x509.GeneralName:
    """Return the alternative name of the kind that a text looks like.

    An IP address; with ``@`` a mail address; with ``:`` a URI; else a DNS name, in ASCII (IDNA
    2008), which may begin with ``*.``.

    Raises:
        ValueError: it is empty, or has letters beyond ASCII in a kind that allows only ASCII.
    """
    if not text or text.strip() != text:
        raise ValueError(f"{text!r} is not a name: it is empty, or has spaces around it")
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if "@" in text:
        return x509.RFC822Name(text)
    if ":" in text:
        return x509.UniformResourceIdentifier(text)
    if text.isascii():
        return x509.DNSName(text)
    name = text.removeprefix("*.")
    return x509.DNSName(text.removesuffix(name) + ascii_name(name))


def unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: Any,
    first: datetime.datetime,
    last: datetime.datetime,
    serial_number: int | None = None,
) -> x509.CertificateBuilder:
    """Return a certificate builder, to which extensions and the signature are added.

    Args:
        subject, issuer: the names of the owner and of the authority that signs.
        public_key: the key of the subject.
        first, last: the moments between which it is valid, with their time zone.
        serial_number: the serial number; default random.
    """
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number() if serial_number is None else serial_number)
        .not_valid_before(first)
        .not_valid_after(last)
    )


def write_file(path: Path, data: bytes, *, is_secret: bool) -> None:
    """Write a file atomically: a reader finds the old content or the new one, complete.

    Args:
        path: the file, which is replaced if it exists.
        data: its new content.
        is_secret: whether only its owner may read it (mode 0600, else 0644), from the first byte.

    Raises:
        OSError: it cannot be written; the old content is still there.
    """
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(number, 0o600 if is_secret else 0o644)
            os.fsync(number)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _make_leaf(
    authority: Issued,
    common_name: str,
    names: list[x509.GeneralName],
    purposes: list[x509.ObjectIdentifier],
    lifetime: datetime.timedelta,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.certificate
    first = max(_now() - _SLOW_CLOCKS, signer.not_valid_before_utc)
    last = min(first + lifetime - _SECOND, signer.not_valid_after_utc)
    public = key.public_key()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        unsigned(_name(common_name), signer.subject, public, first, last)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(identifier, critical=False)
    )
    return Issued(builder.sign(authority.key, hashes.SHA256()), key)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
