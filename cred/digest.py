"""HTTP Digest authentication, RFC 2617: the challenges that a server gives, and the answers.

Theory of operation. The server keeps nothing of a challenge that it has given. The client sends
back two values of it: the nonce, over which its answer is computed, and the opaque. The opaque
holds the nonce, the client's address and the time, under a digest that needs the factory's key:
the factory reads from it that the nonce is its own, was given to that client, and not too long ago.

What that does not show is whether the nonce was used before: within its lifetime, an answer that
was overheard is as good as the first time, for the same method and URI. The digests are MD5 and
SHA-1, as in the RFC: use it over TLS.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping

from zope.interface import implementer

from cred.error import LoginFailed
from cred.interfaces import IUsernameDigestHash, IUsernameHashedPassword
from cred.octets import Text, same_octets, to_octets

__all__ = ["DigestCredentialFactory", "DigestedCredentials"]

# Takes the parts, joins them by colons, and gives their digest in hexadecimal.
Hash = Callable[..., bytes]


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b":".join(parts), usedforsecurity=False).hexdigest().encode()


def _sha(*parts: bytes) -> bytes:
    return hashlib.sha1(b":".join(parts), usedforsecurity=False).hexdigest().encode()


ALGORITHMS: Mapping[bytes, Hash] = {b"md5": _md5, b"md5-sess": _md5, b"sha": _sha}
SESSION_ALGORITHM = b"md5-sess"


@implementer(IUsernameHashedPassword, IUsernameDigestHash)
class DigestedCredentials:
    """A client's answer to a digest challenge (published).

    `DigestCredentialFactory.decode` makes them of a header.

    Attributes:
        username: the user name that is claimed.
        method: the method of the request, such as ``b"GET"``.
        realm: the realm of the server that gave the challenge.
        fields: what the answer's header holds, by field name.
    """

    def __init__(
        self, username: Text, method: Text, realm: Text, fields: Mapping[str, Text]
    ) -> None:
        self.username = username
        self.method = method
        self.realm = realm
        self.fields = fields

    def checkPassword(self, password: Text) -> bool:
        """Return whether the answer was made with `password`, in constant time.

        False too for an answer that lacks a field, names an unknown algorithm, or covers the
        request's body (``auth-int``), and for a password that is neither str nor bytes.
        """
        return self._is_made_with(
            lambda digest: digest(
                to_octets(self.username), to_octets(self.realm), to_octets(password)
            )
        )

    def checkHash(self, digestHash: Text) -> bool:
        """Return whether the answer was made with the password behind `digestHash`.

        Args:
            digestHash: the digest of ``username:realm:password``, in lower-case hexadecimal, by
                the algorithm of the answer; for md5-sess, by MD5.
        """
        return self._is_made_with(lambda digest: to_octets(digestHash))

    def _is_made_with(self, identify: Callable[[Hash], bytes]) -> bool:
        try:
            algorithm = to_octets(self.fields.get("algorithm", b"md5")).lower()
            digest = ALGORITHMS.get(algorithm)
            if digest is None:
                return False
            identity = identify(digest)
            if algorithm == SESSION_ALGORITHM:
                identity = digest(identity, self._read("nonce"), self._read("cnonce"))
            expected = self._compute(digest, identity)
        except TypeError:  # a field is missing, or the password is no text
            return False
        return expected is not None and same_octets(expected, self.fields.get("response"))

    def _compute(self, digest: Hash, identity: bytes) -> bytes | None:
        quality = to_octets(self.fields.get("qop", b"auth"))
        if quality == b"auth-int":
            return None
        request = digest(to_octets(self.method), self._read("uri"))
        nonce = self._read("nonce")
        if self.fields.get("nc") and self.fields.get("cnonce"):
            counted = (self._read("nc"), self._read("cnonce"), quality)
            return digest(identity, nonce, *counted, request)
        # The older form, of RFC 2069, for clients that count no nonces.
        return digest(identity, nonce, request)

    def _read(self, name: str) -> bytes:
        return to_octets(self.fields.get(name))


class DigestCredentialFactory:
    """Gives digest challenges, and reads the answers (published).

    Args:
        algorithm: ``md5``, ``md5-sess`` or ``sha``, in either case of letters.
        authenticationRealm: the realm, which is part of what the client hashes.

    Attributes:
        CHALLENGE_LIFETIME_SECS: for how many seconds a challenge can be answered.
        scheme: the scheme's name in a header.
        privateKey: what the opaque values are sealed with, bytes; made afresh by each factory.
            Processes that are to read each other's challenges are given the same.

    Raises:
        ValueError: the algorithm is unknown.
    """

    CHALLENGE_LIFETIME_SECS = 15 * 60
    scheme = b"digest"

    def __init__(self, algorithm: Text, authenticationRealm: Text) -> None:
        if to_octets(algorithm).lower() not in ALGORITHMS:
            raise ValueError("the algorithm of digest authentication is md5, md5-sess or sha")
        self.algorithm = algorithm
        self.authenticationRealm = authenticationRealm
        self.privateKey = secrets.token_bytes(16)

    def getChallenge(self, address: Text | None) -> dict[str, bytes]:
        """Return a challenge: the fields of a ``WWW-Authenticate`` header, by name.

        Args:
            address: of the client; its answer has to come from there. None where there is none.
        """
        nonce = secrets.token_hex(12).encode()
        return {
            "nonce": nonce,
            "opaque": self._seal(nonce, _address_octets(address)),
            "qop": b"auth",
            "algorithm": to_octets(self.algorithm),
            "realm": to_octets(self.authenticationRealm),
        }

    def decode(self, response: Text, method: Text, host: Text | None) -> DigestedCredentials:
        """Read a client's answer, and check that it answers a challenge of this factory.

        Args:
            response: the fields of an ``Authorization`` header: ``name="value", name=value``.
            method: the method of the request, such as ``b"GET"``.
            host: the client's address, as `getChallenge` was given it.

        Returns:
            The credentials, whose password is still to be checked. A field given twice counts as
            given the second time.

        Raises:
            LoginFailed: there is no user name, no nonce or no opaque; or the opaque is not the
                factory's own for that nonce and client, or too old. The text tells which.
        """
        fields = _parse_fields(to_octets(response))
        username = fields.get("username")
        if not username:
            raise LoginFailed("Invalid response, no username given.")
        if "opaque" not in fields:
            raise LoginFailed("Invalid response, no opaque given.")
        if "nonce" not in fields:
            raise LoginFailed("Invalid response, no nonce given.")
        self._verify_opaque(fields["opaque"], fields["nonce"], _address_octets(host))
        return DigestedCredentials(username, method, self.authenticationRealm, fields)

    def _seal(self, nonce: bytes, address: bytes) -> bytes:
        content = b",".join((nonce, address, b"%d" % int(time.time())))
        return b"-".join((self._sign(content), base64.b64encode(content)))

    def _sign(self, content: bytes) -> bytes:
        # As Twisted's, so that servers of both kinds that share a key read each other's opaque. A
        # client has no say in the content, so a collision of MD5 is of no use to it.
        digest = hashlib.md5(content + self.privateKey, usedforsecurity=False)
        return digest.hexdigest().encode()

    def _verify_opaque(self, opaque: bytes, nonce: bytes, address: bytes) -> None:
        signature, dash, encoded = opaque.partition(b"-")
        try:
            content = base64.b64decode(encoded)
        except binascii.Error:
            content = b""
        parts = content.split(b",")
        if not dash or b"-" in encoded or len(parts) != 3:
            raise LoginFailed("Invalid response, invalid opaque value")
        if parts[0] != nonce:
            raise LoginFailed("Invalid response, incompatible opaque/nonce values")
        if parts[1] != address:
            raise LoginFailed("Invalid response, incompatible opaque/client values")
        try:
            given = int(parts[2])
        except ValueError:
            raise LoginFailed("Invalid response, invalid opaque/time values") from None
        if int(time.time()) - given > self.CHALLENGE_LIFETIME_SECS:
            raise LoginFailed("Invalid response, incompatible opaque/nonce too old")
        if not hmac.compare_digest(self._sign(content), signature):
            raise LoginFailed("Invalid response, invalid opaque value")


def _address_octets(address: Text | None) -> bytes:
    return to_octets(address) if address else b""


def _parse_fields(header: bytes) -> dict[str, bytes]:
    """Return the fields of ``name="value", name=value``; what is no field is passed over.

    Runs once over the header, whatever is in it.

    Raises:
        LoginFailed: a name is not ASCII.
    """
    header = b" ".join(header.splitlines())
    fields: dict[str, bytes] = {}
    start = 0
    while (equals := header.find(b"=", start)) >= 0:
        name = header[start:equals].rpartition(b" ")[2]
        start = equals + 1
        if not name:
            continue
        value, end = _parse_value(header, start)
        if end > start:
            try:
                fields[name.strip().decode("ascii")] = value.strip()
            except UnicodeDecodeError:
                raise LoginFailed("Invalid response, a name is not ASCII") from None
            start = end
    return fields


def _parse_value(header: bytes, start: int) -> tuple[bytes, int]:
    """Return the value that starts there, and where the next field may start.

    A value is quoted, or goes up to the next comma. An unquoted one that is empty ends where it
    starts.
    """
    if header.startswith(b'"', start):
        closing = header.find(b'"', start + 1)
        if closing >= 0:
            return header[start + 1 : closing], closing + 1 + header.startswith(b",", closing + 1)
    comma = header.find(b",", start)
    end = comma if comma >= 0 else len(header)
    if end == start:
        return b"", start
    return header[start:end], end + (comma >= 0)
