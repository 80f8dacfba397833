"""broker.net.tls.verify: the pin of a certificate, and a certificate that cannot be read."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from support.certificates import Pair

from broker.net.tls.verify import pin_of, verify


def test_the_pin_is_of_the_key(pair: Pair) -> None:
    """A pin is the SHA-256 of the public key with its algorithm."""
    certificate = load_pem_x509_certificate(pair.certificate_path.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert pin_of(certificate) == hashlib.sha256(key).digest()


def test_a_certificate_that_cannot_be_read() -> None:
    """It is refused with a reason; nothing is raised into OpenSSL."""
    verifier = SimpleNamespace(problem="")
    connection: Any = SimpleNamespace(get_app_data=lambda: verifier)
    assert verify(connection, object(), 0, 0, 1) is False
    assert verifier.problem == "the peer's certificate cannot be read (AttributeError)"
