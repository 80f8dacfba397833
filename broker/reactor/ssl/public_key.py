"""A public key as a published object, based on pyOpenSSL."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import crypto

__all__ = ["PublicKey"]


class PublicKey:
    """A public key (published).

    Attributes:
        original: the object of pyOpenSSL.
    """

    def __init__(self, osslpkey: crypto.PKey):
        self.original = osslpkey

    def keyHash(self) -> str:
        """Return the SHA-256 of the public key, in hexadecimal digits (published)."""
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self._public_bytes())
        return digest.finalize().hex()

    def matches(self, otherKey: PublicKey) -> bool:
        """Return whether both are the same public key (published)."""
        return self._public_bytes() == otherKey._public_bytes()

    def inspect(self) -> str:
        """Return a description for people to read (published)."""
        return f"Public Key with Hash: {self.keyHash()}"

    def _public_bytes(self) -> bytes:
        key: Any = self.original.to_cryptography_key()
        public = key.public_key() if hasattr(key, "public_key") else key
        der: bytes = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return der
