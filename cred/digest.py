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

__all__ = [
    "DigestCredentialFactory",
    "DigestedCredentials",
    "calcHA1",
    "calcHA2",
    "calcResponse",
]

# Takes the parts, joins them by colons, and gives their digest in hexadecimal.
Hash = Callable[..., bytes]


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b":".join(parts), usedforsecurity=False).hexdigest().encode()


def _sha(*parts: bytes) -> bytes:
    return hashlib.sha1(b":".join(parts), usedforsecurity=False).hexdigest().encode()


ALGORITHMS: Mapping[bytes, Hash] = {b"md5": _md5, b"md5-sess": _md5, b"sha": _sha}
SESSION_ALGORITHM = b"md5-sess"


def calcHA1(
    pszAlg: bytes,
    pszUserName: bytes | None,
    pszRealm: bytes | None,
    pszPassword: bytes | None,
    pszNonce: bytes | None,
    pszCNonce: bytes | None,
    preHA1: bytes | None = None,
) -> bytes:
    """Return H(A1) of RFC 2617, in hexadecimal: who somebody is (published).

    Args:
        pszAlg: ``b"md5"``, ``b"md5-sess"`` or ``b"sha"``.
        pszUserName, pszRealm, pszPassword: what is hashed; None where `preHA1` is given.
        pszNonce, pszCNonce: for md5-sess.
        preHA1: what was hashed before, in hexadecimal.

    Raises:
        KeyError: the algorithm is unknown.
        TypeError: `preHA1` is given, and one of the three too; or what is needed is None.
    """
    if preHA1 and (pszUserName or pszRealm or pszPassword):
        raise TypeError("preHA1 stands for user name, realm and password: give None for these")
    digest = ALGORITHMS[pszAlg]
    identity = preHA1
    if identity is None:
        identity = digest(*map(_given, (pszUserName, pszRealm, pszPassword)))
    if pszAlg == SESSION_ALGORITHM:
        identity = digest(identity, _given(pszNonce), _given(pszCNonce))
    return identity


def calcHA2(
    algo: bytes, pszMethod: bytes, pszDigestUri: bytes, pszQop: bytes, pszHEntity: bytes | None
) -> bytes:
    """Return H(A2) of RFC 2617, in hexadecimal: what is asked for (published).

    Args:
        algo: as of `calcHA1`.
        pszMethod, pszDigestUri: of the request.
        pszQop: ``b"auth"``, or ``b"auth-int"`` where the body is covered too.
        pszHEntity: the digest of the body, for ``auth-int``.

    Raises:
        KeyError: the algorithm is unknown.
        TypeError: what is needed is None.
    """
    body = (_given(pszHEntity),) if pszQop == b"auth-int" else ()
    return ALGORITHMS[algo](pszMethod, pszDigestUri, *body)


def calcResponse(
    HA1: bytes,
    HA2: bytes,
    algo: bytes,
    pszNonce: bytes,
    pszNonceCount: bytes | None,
    pszCNonce: bytes | None,
    pszQop: bytes,
) -> bytes:
    """Return the answer to a digest challenge, in hexadecimal (published).

    Args:
        HA1, HA2: of `calcHA1` and `calcHA2`.
        algo: as of `calcHA1`.
        pszNonce: the challenge.
        pszNonceCount, pszCNonce: how often it was answered, and the client's own nonce; without one
            of them the answer has the older form of RFC 2069.
        pszQop: as of `calcHA2`.

    Raises:
        KeyError: the algorithm is unknown.
    """
    counted = (pszNonceCount, pszCNonce, pszQop) if pszNonceCount and pszCNonce else ()
    return ALGORITHMS[algo](HA1, pszNonce, *map(_given, counted), HA2)


def _given(value: bytes | None) -> bytes:
    if value is None:
        raise TypeError("bytes are needed here, not None")
    return value


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
        return self._is_made_with(self.username, self.realm, password, None)

    def checkHash(self, digestHash: Text) -> bool:
        """Return whether the answer was made with the password behind `digestHash`.

        Args:
            digestHash: the digest of ``username:realm:password``, in lower-case hexadecimal, by
                the algorithm of the answer; for md5-sess, by MD5.
        """
        return self._is_made_with(None, None, None, digestHash)

    def _is_made_with(self, *who: Text | None) -> bool:
        try:
            quality = to_octets(self.fields.get("qop", b"auth"))
            algorithm = to_octets(self.fields.get("algorithm", b"md5")).lower()
            if algorithm not in ALGORITHMS or quality == b"auth-int":
                return False
            name, realm, password, known = (None if x is None else to_octets(x) for x in who)
            nonce = self._read("nonce")
            cnonce = self._read("cnonce") if algorithm == SESSION_ALGORITHM else None
            first = calcHA1(algorithm, name, realm, password, nonce, cnonce, known)
            second = calcHA2(algorithm, to_octets(self.method), self._read("uri"), quality, None)
            count, own = (to_octets(self.fields.get(field, b"")) for field in ("nc", "cnonce"))
            expected = calcResponse(first, second, algorithm, nonce, count, own, quality)
        except TypeError:  # a field is missing, or the password is no text
            return False
        return same_octets(expected, self.fields.get("response"))

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
