"""A certificate authority for tests, with keys that are quick to make (EC P-256)."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair"]

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as objects and as PEM files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    certificate_path: Path
    key_path: Path


class Authority:
    """A CA that writes its files to ``folder``.

    Attributes:
        ca_path: its own certificate, a PEM file.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "test CA",
        *,
        not_after: datetime.datetime | None = None,
        signed_by: Authority | None = None,
    ):
        self._folder = folder
        self._numbers = itertools.count(1)
        self._stem = name.replace(" ", "-")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = (
            _builder(self._name, self.key, None, not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
        )
        self.certificate = (signed_by or self)._sign(builder)
        self.ca_path = self._write(f"{self._stem}.pem", _pem(self.certificate))

    def issue(
        self,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
        *,
        common_name: str | None = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        client: bool = False,
        chain: Sequence[Authority] = (),
    ) -> Pair:
        """Make a leaf certificate for these host names and addresses, valid from yesterday for a
        month.

        With ``client`` it is valid for client authentication only, else for servers only. The
        certificates of ``chain`` follow it in its file.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common_name or (names[0] if names else "nobody"))
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            _builder(subject, key, not_before, not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = self._sign(builder)
        stem = f"{self._stem}-{next(self._numbers)}"
        pem = b"".join(map(_pem, [certificate, *(ca.certificate for ca in chain)]))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(
            certificate,
            key,
            self._write(f"{stem}.pem", pem),
            self._write(f"{stem}.key", private),
        )

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.issuer_name(self._name).add_extension(identifier, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime.datetime | None,
    not_after: datetime.datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    first = not_before or min(now, not_after or now) - _DAY
    last = not_after or max(now, first) + 30 * _DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
