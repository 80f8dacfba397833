"""The MD5 challenge of Perspective Broker's published login.

The server sends a challenge, the client answers ``md5(md5(password) + challenge)``. The password
is not sent, but an attacker who sees both messages can try passwords at MD5's speed, and a stored
``md5(password)`` is as good as the password. Use it over TLS, and only for peers that know no other
login. A server must take only one answer to a challenge.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cred.error import wrong_login
from cred.octets import Text, to_octets

__all__ = ["challenge", "hash_password", "respond", "verify"]

CHALLENGE_SIZE = 16


def challenge() -> bytes:
    """Return a challenge: 16 unpredictable bytes."""
    return secrets.token_bytes(CHALLENGE_SIZE)


def hash_password(password: Text) -> bytes:
    """Return ``md5(password)``, 16 bytes: the form in which a server may keep a password."""
    return _md5(to_octets(password))


def respond(challenge: bytes, password: Text) -> bytes:
    """Return the client's answer to `challenge`, 16 bytes."""
    return _md5(hash_password(password) + challenge)


def verify(challenge: bytes, response: object, password_md5: bytes) -> None:
    """Check a client's answer, in constant time.

    Args:
        challenge: the challenge that was sent to this client only.
        response: the answer that the client sent; any object.
        password_md5: the digest of the right password, as `hash_password` returns it.

    Raises:
        UnauthorizedLogin: the answer was not made with that password.
    """
    expected = _md5(password_md5 + challenge)
    if not isinstance(response, bytes) or not hmac.compare_digest(expected, response):
        raise wrong_login("wrong password")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
