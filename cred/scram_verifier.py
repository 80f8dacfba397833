"""SCRAM verifiers, which a server keeps instead of passwords: RFC 5802, with SHA-256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final, Self

from cred.error import wrong_login
from cred.octets import Text, to_octets
from cred.saslprep import LONGEST_PASSWORD, saslprep_octets

__all__ = [
    "ITERATIONS",
    "KEY_SIZE",
    "MOST_ITERATIONS",
    "SALT_SIZE",
    "SCRAM",
    "ScramVerifier",
    "client_key_of",
    "from_base64",
    "salted_password",
    "server_key_of",
    "sha256",
    "to_base64",
]

SCRAM: Final = "SCRAM-SHA-256"

ITERATIONS: Final = 600_000
"""The iterations of a new verifier."""

MOST_ITERATIONS: Final = 5_000_000
"""The most iterations of any verifier; a client refuses more, which would take seconds."""

KEY_SIZE: Final = 32
"""The bytes of each key, and of a proof."""

SALT_SIZE: Final = 16
"""The bytes of the salt of a new verifier."""

_FEWEST = 4096  # RFC 7677, section 4
_VERIFIER = re.compile(r"SCRAM-SHA-256\$([0-9]{1,7}):([^:$]*)\$([^:$]*):([^:$]*)\Z")


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """The data that a server keeps instead of a password for SCRAM, in PostgreSQL's text form.

    ``str(verifier)`` is ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>``, with the
    last three in base64; `parse` reads it. A thief cannot log in with it, but can pose as this
    server, and can try passwords, each at the cost of the iterations.

    Attributes:
        iterations: how often the password is hashed.
        salt: the salt of the hash.
        stored_key, server_key: the keys that check proofs and make signatures, 32 bytes each.
        reason: why no proof matches it, for the log of the server; empty for a user who may log in.
            It is not part of the text, and is ignored in comparisons.
    """

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)
    reason: str = field(default="", repr=False, compare=False)

    @classmethod
    def of_password(
        cls, password: Text, iterations: int = ITERATIONS, *, salt: bytes | None = None
    ) -> Self:
        """Make the verifier of a password; takes a fifth of a second with the usual iterations.

        Args:
            password: str, or its UTF-8 bytes.
            iterations: at least 4,096; clients of this library refuse fewer than
                `cred.scram.FEWEST_ITERATIONS`.
            salt: default 16 random bytes.

        Raises:
            ValueError: the password is too long or SASLprep prohibits it, or the iterations are out
                of range.
        """
        if not _FEWEST <= iterations <= MOST_ITERATIONS:
            raise ValueError(f"iterations are from {_FEWEST} to {MOST_ITERATIONS}")
        salt = secrets.token_bytes(SALT_SIZE) if salt is None else salt
        salted = salted_password(saslprep_octets(password, LONGEST_PASSWORD), salt, iterations)
        stored_key, server_key = sha256(client_key_of(salted)), server_key_of(salted)
        return cls(iterations, salt, stored_key, server_key)

    @classmethod
    def of_nobody(
        cls,
        secret: bytes,
        username: Text,
        iterations: int = ITERATIONS,
        salt_size: int = SALT_SIZE,
        reason: str = "unknown user",
    ) -> Self:
        """Make a verifier for an unknown user.

        It is the same each time, so that two requests tell nothing, and no password matches it.

        Args:
            secret: 16 random bytes or more, which only the server has, and does not change.
            username: the unknown user name.
            iterations, salt_size: those of real users.
            reason: why the user cannot log in, for the log of the server.
        """
        name = to_octets(username)
        salt, stored_key, server_key = (
            hmac.digest(secret, purpose + name, "sha256")
            for purpose in (b"salt:", b"stored:", b"server:")
        )
        while len(salt) < salt_size:
            salt += hmac.digest(secret, b"more:" + salt + name, "sha256")
        return cls(iterations, salt[:salt_size], stored_key, server_key, reason)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a verifier.

        Raises:
            ValueError: it is not a verifier; the error does not repeat the text.
        """
        match = _VERIFIER.match(text)
        try:
            if match is None:
                raise ValueError
            salt, stored_key, server_key = (from_base64(part) for part in match.groups()[1:])
        except ValueError:
            raise ValueError(
                "not a SCRAM verifier; its form is SCRAM-SHA-256$iterations:salt$key:key"
            ) from None
        iterations = int(match[1])
        if not _FEWEST <= iterations <= MOST_ITERATIONS:
            raise ValueError(f"a SCRAM verifier has from {_FEWEST} to {MOST_ITERATIONS} iterations")
        if not salt or (len(stored_key), len(server_key)) != (KEY_SIZE, KEY_SIZE):
            raise ValueError(f"a SCRAM verifier has a salt, and keys of {KEY_SIZE} bytes")
        return cls(iterations, salt, stored_key, server_key)

    def __str__(self) -> str:
        salt, stored, server = map(to_base64, (self.salt, self.stored_key, self.server_key))
        return f"{SCRAM}${self.iterations}:{salt}${stored}:{server}"

    def verify(self, password: Text) -> None:
        """Check a password in clear; takes as long as `of_password`.

        Raises:
            UnauthorizedLogin: the password is wrong.
        """
        try:
            other = self.of_password(password, self.iterations, salt=self.salt)
        except ValueError:
            raise wrong_login("wrong password") from None
        if not hmac.compare_digest(self.stored_key, other.stored_key):
            raise wrong_login(self.reason or "wrong password")


def salted_password(password: bytes, salt: bytes, iterations: int) -> bytes:
    """Return SaltedPassword; this is the expensive part."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


def client_key_of(salted: bytes) -> bytes:
    """Return ClientKey."""
    return hmac.digest(salted, b"Client Key", "sha256")


def server_key_of(salted: bytes) -> bytes:
    """Return ServerKey."""
    return hmac.digest(salted, b"Server Key", "sha256")


def sha256(data: bytes) -> bytes:
    """Return the hash H of RFC 5802."""
    return hashlib.sha256(data).digest()


def to_base64(data: bytes) -> str:
    """Return base64 with padding, as in SCRAM messages."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str) -> bytes:
    """Return the bytes of base64.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64") from None
