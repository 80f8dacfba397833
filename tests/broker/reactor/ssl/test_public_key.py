"""broker.reactor.ssl.public_key: a public key, and whether two are the same."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from broker.reactor.ssl.public_key import PublicKey


def test_the_hash() -> None:
    """The hash is of the public half, also where the private one is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    whole = PublicKey(crypto.PKey.from_cryptography_key(key))
    half = PublicKey(crypto.PKey.from_cryptography_key(key.public_key()))
    assert whole.keyHash() == half.keyHash() == hashlib.sha256(public).hexdigest()
    assert whole.matches(half)
    assert whole.inspect() == f"Public Key with Hash: {whole.keyHash()}"


def test_another_key() -> None:
    """Two keys do not match."""
    one, other = (
        PublicKey(crypto.PKey.from_cryptography_key(ec.generate_private_key(ec.SECP256R1())))
        for _ in range(2)
    )
    assert not one.matches(other)
