"""CRAM-MD5, RFC 2195: a challenge in the form of an e-mail message id, answered by an HMAC.

The server sends ``<random.time@host>``, the client answers ``user hmac-md5(password, challenge)``.
An attacker who sees both can try passwords at MD5's speed. Use it over TLS, and only for peers that
know no other login.
"""

from __future__ import annotations

import hmac
import secrets
import time

from zope.interface import implementer

from cred.interfaces import IUsernameHashedPassword
from cred.octets import Text, same_octets, to_octets

__all__ = ["CramMD5Credentials"]

RANDOM_BELOW = 2**128


@implementer(IUsernameHashedPassword)
class CramMD5Credentials:
    """One login by CRAM-MD5, at the server: its challenge, then the client's answer (published).

    Send the result of `getChallenge`, pass the answer to `setResponse`, and log in at the portal
    with this object. It is for one login: take one answer, and make a new object for the next.

    Args:
        host: the name of the server, which becomes part of the challenge; str or bytes. None is
            written as ``None``.

    Attributes:
        challenge: the challenge; empty before `getChallenge`.
        username, response: the two parts of the answer, bytes; None and empty before `setResponse`.
    """

    username: bytes | None = None
    challenge: bytes = b""
    response: bytes = b""

    def __init__(self, host: Text | None = None) -> None:
        self.host = host

    def getChallenge(self) -> bytes:
        """Return the challenge: made at the first call, and the same at later calls."""
        if not self.challenge:
            host = to_octets(self.host) if self.host else b"None"
            stamp = b"%d.%d" % (secrets.randbelow(RANDOM_BELOW), int(time.time()))
            self.challenge = b"<%s@%s>" % (stamp, host)
        return self.challenge

    def setResponse(self, response: Text) -> None:
        """Take the client's answer: the user name, white space, the HMAC in hexadecimal.

        Raises:
            ValueError: it does not have two parts; nothing is changed.
        """
        parts = to_octets(response).split(None, 1)
        if len(parts) != 2:
            raise ValueError("a CRAM-MD5 answer is a user name, a space and an HMAC")
        self.username, self.response = parts

    def moreChallenges(self) -> bool:
        """Return False: CRAM-MD5 has only one challenge."""
        return False

    def checkPassword(self, password: Text) -> bool:
        """Return whether the answer was made with `password`, in constant time.

        False without a challenge, and for a password that is neither str nor bytes.
        """
        try:
            key = to_octets(password)
        except TypeError:
            return False
        proof = hmac.new(key, self.challenge, "md5").hexdigest()
        return bool(self.challenge) and same_octets(proof, self.response)
