"""Signed tokens, as JWS compact serialization: whose signature it is, and what it signs (RFC 7515).

The only module that imports joserfc, of the extra ``jwt``; `cred.tokens` loads it when needed.

The key decides the algorithm, never the token: a key is found by its ``kid`` among those that this
server has, and is used for the one algorithm that goes with its kind. That leaves no room for
tokens that are signed by nobody (``none``), or with a public key as a shared secret (``HS256``).
A token that brings a key of its own, or says where to get one, is refused (RFC 8725).
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

# (kty, crv) to the class of the key, and its one algorithm, which RFC 9864 has given a second name.
_KINDS: dict[tuple[Any, Any], tuple[Any, tuple[str, ...]]] = {
    ("OKP", "Ed25519"): (OKPKey, ("EdDSA", "Ed25519")),
    ("EC", "P-256"): (ECKey, ("ES256",)),
    ("RSA", None): (RSAKey, ("RS256",)),
}
_ALGORITHMS = frozenset(name for _, names in _KINDS.values() for name in names)


class _Registry(JWSRegistry):
    """Without joserfc's warning about the older of the two names."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


class KeySet:
    """The public keys of those whose tokens are believed, by ``kid``.

    Args:
        jwks: a JSON Web Key Set (RFC 7517), as read from JSON. Keys for other purposes than
            signing, and of other kinds than Ed25519, P-256 and RSA, are passed over.
        called: what to call it in errors, such as the name of its file.

    Raises:
        ConfigError: it is none, holds a private key, or has no key of use.
    """

    def __init__(self, jwks: object, called: str = "the key set"):
        keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
        if not isinstance(keys, list):
            raise ConfigError(f"{called} is no JSON Web Key Set: an object with a list 'keys'")
        self._keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        for key in keys:
            self._add(key, called)
        if not self._keys:
            raise ConfigError(f"{called} has no key with a kid for {_TAKEN}")

    def verify(self, token: str) -> dict[str, Any]:
        """Return what a token says, once it is sure that one of these keys has signed it.

        Raises:
            UnauthorizedLogin: it is no token, or is signed otherwise.
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
            # What must be understood is not, here: nothing that it names is.
            raise UnauthorizedLogin("token has a wrong signature")
        registry = _Registry(algorithms=algorithms, strict_check_header=False)
        try:
            payload = deserialize_compact(token, key, registry=registry).payload
        except Exception:  # noqa: BLE001 - the key is known to be right: it is the token's fault
            raise UnauthorizedLogin("token has a wrong signature") from None
        return _object_of(payload)

    def _add(self, key: Any, called: str) -> None:
        if not isinstance(key, dict):
            raise ConfigError(f"{called} has a key that is no JSON object")
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


def _read_header(token: str) -> dict[str, Any]:
    first, dot, _ = token.partition(".")
    if token.count(".") != 2 or not dot:
        raise UnauthorizedLogin("token is malformed")
    try:
        return _object_of(_from_base64url(first))
    except ValueError:
        raise UnauthorizedLogin("token is malformed") from None


def _from_base64url(text: str) -> bytes:
    """Return the bytes of base64 in the form of JOSE: other letters, no padding.

    Raises:
        ValueError: it is none.
    """
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)


def _bits(modulus: str) -> int:
    return int.from_bytes(_from_base64url(modulus), "big").bit_length()


def _object_of(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnauthorizedLogin("token is malformed")
    return value
