"""Verifies signed tokens in JWS compact serialization (RFC 7515).

The only module that imports joserfc, of the extra ``jwt``; `cred.tokens` loads it when needed.

The key decides the algorithm, never the token. A key is found by its ``kid`` among the keys of this
server, and is used only for the one algorithm of its kind. So a token without a signature
(``none``), or with a public key as a shared secret (``HS256``), is refused. A token with a key of
its own, or with the address of one, is refused too (RFC 8725).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from broker.config_error import ConfigError
from cred.error import UnauthorizedLogin

__all__ = ["KeySet"]

_LEAST_RSA_BITS = 2048
_FOREIGN_KEYS = ("jku", "jwk", "x5u", "x5c")
_TAKEN = "EdDSA, ES256 or RS256"

# (kty, crv) to the class of the key, and the names of its algorithm; RFC 9864 added a second one.
_KINDS: dict[tuple[object, object], tuple[Any, tuple[str, ...]]] = {
    ("OKP", "Ed25519"): (OKPKey, ("EdDSA", "Ed25519")),
    ("EC", "P-256"): (ECKey, ("ES256",)),
    ("RSA", None): (RSAKey, ("RS256",)),
}
_ALGORITHMS = frozenset(name for _, names in _KINDS.values() for name in names)


class _Registry(JWSRegistry):
    """A registry without joserfc's warning about the older of the two names."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


class KeySet:
    """The public keys of the trusted issuers, by ``kid``.

    Args:
        jwks: a JSON Web Key Set (RFC 7517), as read from JSON. Keys that are not for signing, and
            of other kinds than Ed25519, P-256 and RSA, are ignored.
        called: its name in errors, such as the path of the file.

    Raises:
        ConfigError: it is not a key set, has a private key, or has no usable key.
    """

    def __init__(self, jwks: object, called: str = "the key set"):
        keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
        if not isinstance(keys, list):
            raise ConfigError(f"{called} is not a JSON Web Key Set: an object with a list 'keys'")
        self._keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        for key in keys:
            self._add(key, called)
        if not self._keys:
            raise ConfigError(f"{called} has no key with a kid for {_TAKEN}")

    def verify(self, token: str) -> dict[str, object]:
        """Verify that one of these keys has signed a token, and return its claims.

        Raises:
            UnauthorizedLogin: it is not a token, or has no valid signature of these keys.
        """
        header = _read_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
            raise UnauthorizedLogin(f"token is not signed with {_TAKEN}")
        if any(name in header for name in _FOREIGN_KEYS):
            raise UnauthorizedLogin("token brings its own key (jku, jwk, x5u or x5c)")
        kid = header.get("kid")
        key, algorithms = self._keys.get(kid, (None, ())) if isinstance(kid, str) else (None, ())
        if key is None:
            raise UnauthorizedLogin("token is signed by a key that this server does not have (kid)")
        if algorithm not in algorithms:
            raise UnauthorizedLogin("token is signed with another algorithm than its key is for")
        if "crit" in header:
            # It names extensions that must be understood, and no extension is supported here.
            raise UnauthorizedLogin("token has a wrong signature")
        registry = _Registry(algorithms=algorithms, strict_check_header=False)
        try:
            payload = deserialize_compact(token, key, registry=registry).payload
        except Exception:  # noqa: BLE001 - the key is valid, so the token is wrong
            raise UnauthorizedLogin("token has a wrong signature") from None
        return _object_of(payload)

    def _add(self, key: object, called: str) -> None:
        if not isinstance(key, dict):
            raise ConfigError(f"{called} has a key that is not a JSON object")
        if "d" in key or key.get("kty") == "oct":
            raise ConfigError(f"{called} holds a secret key; a server needs the public keys only")
        kind = _KINDS.get((key.get("kty"), key.get("crv")))
        kid = key.get("kid")
        if kind is None or key.get("use", "sig") != "sig" or not isinstance(kid, str):
            return
        cls, algorithms = kind
        if key.get("alg", algorithms[0]) not in algorithms:
            return
        if kid in self._keys:
            raise ConfigError(f"{called} has two keys with the same kid")
        try:
            is_weak = cls is RSAKey and _bits(key["n"]) < _LEAST_RSA_BITS
            made = None if is_weak else cls.import_key(key)
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            raise ConfigError(f"{called} has a key that cannot be read: {exc}") from None
        if is_weak:
            raise ConfigError(f"{called} has an RSA key below {_LEAST_RSA_BITS} bits")
        self._keys[kid] = (made, algorithms)


def _read_header(token: str) -> dict[str, object]:
    first, dot, _ = token.partition(".")
    if token.count(".") != 2 or not dot:
        raise UnauthorizedLogin("token is malformed")
    try:
        return _object_of(_from_base64url(first))
    except ValueError:
        raise UnauthorizedLogin("token is malformed") from None


def _from_base64url(text: str) -> bytes:
    """Return the bytes of base64url without padding, as in JOSE.

    Raises:
        ValueError: it is not base64url.
    """
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)


def _bits(modulus: str) -> int:
    return int.from_bytes(_from_base64url(modulus), "big").bit_length()


def _object_of(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnauthorizedLogin("token is malformed")
    return value
