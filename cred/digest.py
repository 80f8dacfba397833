"""HTTP Digest authentication, RFC 2617: the challenges of a server, and the answers.

Theory of operation. The server keeps no state of a challenge. The client sends back two of its
values: the nonce, over which the answer is computed, and the opaque. The opaque has the nonce, the
client's address and the time, with a digest that needs the factory's key. So the factory can check
that it made the nonce itself, for that client, and not too long ago.

It cannot check whether the nonce was used before: an answer that was overheard can be repeated
during the lifetime of the nonce, for the same method and URI. The digests are MD5 and SHA-1, as in
the RFC: use it over TLS.
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

# Joins the parts by colons, and returns their digest in hexadecimal.
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
    """Return H(A1) of RFC 2617, in hexadecimal: the digest of the user (published).

    Args:
        pszAlg: ``b"md5"``, ``b"md5-sess"`` or ``b"sha"``.
        pszUserName, pszRealm, pszPassword: the values to hash; None with `preHA1`.
        pszNonce, pszCNonce: for md5-sess.
        preHA1: the digest of these three, in hexadecimal, if it is known.

    Raises:
        KeyError: the algorithm is unknown.
        TypeError: `preHA1` is given with one of the three, or a needed value is None.
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
    """Return H(A2) of RFC 2617, in hexadecimal: the digest of the request (published).

    Args:
        algo: as in `calcHA1`.
        pszMethod, pszDigestUri: of the request.
        pszQop: ``b"auth"``, or ``b"auth-int"`` if the body is covered too.
        pszHEntity: the digest of the body, for ``auth-int``.

    Raises:
        KeyError: the algorithm is unknown.
        TypeError: a needed value is None.
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
        HA1, HA2: the results of `calcHA1` and `calcHA2`.
        algo: as in `calcHA1`.
        pszNonce: the challenge.
        pszNonceCount, pszCNonce: how often it was answered, and the client's nonce; without one of
            them the answer has the older form of RFC 2069.
        pszQop: as in `calcHA2`.

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

    `DigestCredentialFactory.decode` makes them from a header.

    Attributes:
        username: the user name that the client claims.
        method: the method of the request, such as ``b"GET"``.
        realm: the realm of the server that made the challenge.
        fields: the values of the header, by field name.
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

        False also for an answer that lacks a field, names an unknown algorithm, or covers the body
        of the request (``auth-int``), and for a password that is neither str nor bytes.
        """
        return self._is_made_with(self.username, self.realm, password, None)

    def checkHash(self, digestHash: Text) -> bool:
        """Return whether the answer was made with the password of `digestHash`.

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
        except TypeError:  # a field is missing, or the password is not text
            return False
        return same_octets(expected, self.fields.get("response"))

    def _read(self, name: str) -> bytes:
        return to_octets(self.fields.get(name))


class DigestCredentialFactory:
    """Makes digest challenges, and reads the answers (published).

    Args:
        algorithm: ``md5``, ``md5-sess`` or ``sha``, in upper or lower case.
        authenticationRealm: the realm, which the client hashes too.

    Attributes:
        CHALLENGE_LIFETIME_SECS: the seconds in which a challenge can be answered.
        scheme: the name of the scheme in a header.
        privateKey: the key that signs the opaque values, bytes; random for each factory. Set the
            same key in processes that must read each other's challenges.

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
            address: the address of the client, from which the answer must come; None if unknown.
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
            host: the address of the client, as in `getChallenge`.

        Returns:
            The credentials; the password is not checked yet. Of a field that is given twice the
            second counts.

        Raises:
            LoginFailed: there is no user name, no nonce or no opaque; or this factory did not make
                the opaque for that nonce and client, or it is too old. The text tells which.
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
        # As in Twisted, so that servers of both kinds with the same key read each other's opaque.
        # A client cannot choose the content, so a collision of MD5 does not help an attacker.
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
    """Return the fields of ``name="value", name=value``; other text is ignored.

    It reads any header in one pass.

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

    A value is quoted, or ends at the next comma. An empty unquoted value ends where it starts.
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
