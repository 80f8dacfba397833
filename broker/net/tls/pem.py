"""Reads certificates and private keys from PEM files, PEM texts or objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509

from broker.errors import ConfigError

__all__ = [
    "CertificateSource",
    "KeySource",
    "called",
    "read_certificates",
    "read_private_key",
]

CertificateSource: TypeAlias = str | Path | bytes | x509.Certificate
"""A PEM file's path, PEM bytes, or a certificate."""

KeySource: TypeAlias = Any
"""A PEM file's path (str or Path), PEM bytes, or a private key of ``cryptography``."""


def read_certificates(source: CertificateSource, what: str) -> list[x509.Certificate]:
    """Return the certificates of a source, in their order; at least one.

    Args:
        source: where to read them.
        what: what they are used for, in an error.

    Raises:
        ConfigError: it cannot be read, or does not contain a certificate.
    """
    if isinstance(source, x509.Certificate):
        return [source]
    pem = _read(source, what)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise ConfigError(
            f"{called(source, f'the {what}')} holds no certificate in PEM form"
            " (a text with BEGIN CERTIFICATE)"
        ) from exc


def read_private_key(source: KeySource) -> Any:
    """Return the private key of a source.

    Raises:
        ConfigError: it cannot be read, does not contain a key, or is encrypted.
    """
    if not isinstance(source, str | Path | bytes):
        return source
    # Loading the readers of all kinds of keys would take a twentieth of the import time.
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name = called(source, "the key")
    pem = _read(source, "key")
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise ConfigError(
            f"{name} is encrypted: decrypt it with  openssl pkey -in KEY -out PLAIN"
        ) from exc
    except ValueError as exc:
        raise ConfigError(
            f"{name} holds no private key in PEM form (a text with BEGIN PRIVATE KEY)"
        ) from exc


def _read(source: str | Path | bytes, what: str) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"cannot read the {what} {source}: {exc.strerror}; give the path of a PEM file"
        ) from exc


def called(source: object, otherwise: str) -> str:
    """Return the name of a source in an error: its path, or `otherwise` if it has none."""
    return str(source) if isinstance(source, str | Path) else otherwise
