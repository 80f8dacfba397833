"""Issuing certificates: an authority, and what it signs for servers and for clients.

Keys are elliptic (P-256). An authority signs leaves only, no other authorities. What a leaf may be
used for stands in it, so that a client's certificate can never pass for a server's. How long each
lasts is bounded by what the programs of this world accept: a server's for 397 days, as browsers and
the CA/Browser Forum's baseline requirements (6.3.2) have it.
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
    "make_server",
    "unsigned",
    "write_file",
]

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=397)

# A clock that is behind by less does not refuse what has just been made.
_SLOW_CLOCKS = datetime.timedelta(minutes=10)
_SECOND = datetime.timedelta(seconds=1)


class Issued(Struct, frozen=True):
    """A certificate and its private key.

    Attributes:
        certificate: of ``cryptography``.
        key: of ``cryptography``; a secret.
    """

    certificate: x509.Certificate
    key: Any

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as a PEM text."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key as a PEM text, not encrypted."""
        pem: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem


def make_authority(name: str, lifetime: datetime.timedelta = AUTHORITY_LIFETIME) -> Issued:
    """Make an authority of one's own.

    Args:
        name: its common name, 1 to 64 characters.
        lifetime: from now on.

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
    """Make the certificate of a server, for use as a server's only.

    Args:
        authority: who signs.
        names: the host names and addresses at which clients look for it; at least one.
        common_name: for people to read; the first of `names` unless given.
        lifetime: from now on, and no longer than the authority's.

    Raises:
        ValueError: there is no name, or one that is no host.
    """
    if not names:
        raise ValueError("a server's certificate needs a name at least")
    kinds = (x509.DNSName, x509.IPAddress)
    alternatives = [alternative_name(name) for name in names]
    for name, alternative in zip(names, alternatives, strict=True):
        if not isinstance(alternative, kinds):
            raise ValueError(f"{name!r} is no host name and no address")
    purpose = ExtendedKeyUsageOID.SERVER_AUTH
    return _make_leaf(authority, common_name or names[0], alternatives, purpose, lifetime)


def make_client(
    authority: Issued, name: str, *, lifetime: datetime.timedelta = LEAF_LIFETIME
) -> Issued:
    """Make the certificate of a client, for use as a client's only.

    Args:
        authority: who signs.
        name: who it is for: its common name, and its alternative name; see `alternative_name`.
        lifetime: from now on, and no longer than the authority's.

    Raises:
        ValueError: the name cannot stand in a certificate.
    """
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH
    return _make_leaf(authority, name, [alternative_name(name)], purpose, lifetime)


def alternative_name(text: str) -> x509.GeneralName:
    """Return the alternative name of the kind that a text looks like.

    An IP address; with ``@`` a mail address; with ``:`` a URI; else a DNS name, in ASCII (IDNA
    2008), which may begin with ``*.``.

    Raises:
        ValueError: it is empty, or has other letters where there may be none.
    """
    if not text or text.strip() != text:
        raise ValueError(f"{text!r} is no name: it is empty, or has spaces around it")
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
    """Return the beginning of a certificate, to which extensions and the signature are added.

    Args:
        subject, issuer: whose it is, and who signs.
        public_key: of the subject.
        first, last: the moments between which it is valid, with their time zone.
        serial_number: random unless given.
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
    """Write a file at once: who reads it finds the old content or the new one, whole.

    Args:
        path: where; a file that is there is replaced.
        data: its new content.
        is_secret: whether only its owner may read it (mode 0600, else 0644), from the first byte.

    Raises:
        OSError: it cannot be written; what was there still is.
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
    purpose: x509.ObjectIdentifier,
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
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
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
