"""SCRAM-SHA-256 and -PLUS: both sides prove that they know a password, without sending it.

Theory of operation
===================

RFC 5802, with the hash of RFC 7677 and the channel binding of RFC 9266. Four messages::

    client-first   user name, client's nonce             `ScramClient.first`
    server-first   both nonces, salt, iterations         `ScramServer.first`
    client-final   both nonces, binding, proof           `ScramClient.final`
    server-final   the server's signature                `ScramServer.final`, `ScramClient.verify`

The server keeps a `ScramVerifier`, which is not enough for a login: the proof needs the *client
key*, and the verifier has only its hash. The signature needs the *server key*, so that the client
can recognise a server that has never seen the password. The client does the expensive part, the
iterations.

PLUS binds the exchange to its TLS connection: both sides add 32 bytes that only the two ends of
that connection can compute. An attacker in the middle, whose certificate the client trusts, has one
connection to each side, with different bytes. If the attacker removes PLUS from the offer, the
client sends ``y``: it could bind, but believes that the server cannot. A server that offered PLUS
refuses this.

Nothing here does input or output, and each object is for one exchange.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final

from cred.error import LoginFailed, wrong_login
from cred.octets import Text
from cred.saslprep import LONGEST_NAME, LONGEST_PASSWORD, saslprep, saslprep_octets
from cred.scram_verifier import (
    KEY_SIZE,
    MOST_ITERATIONS,
    SCRAM,
    ScramVerifier,
    client_key_of,
    from_base64,
    salted_password,
    server_key_of,
    sha256,
    to_base64,
)

__all__ = [
    "FEWEST_ITERATIONS",
    "SCRAM",
    "SCRAM_PLUS",
    "ScramClient",
    "ScramServer",
    "ScramVerifier",
]

SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"

FEWEST_ITERATIONS: Final = 10_000
"""A client refuses fewer: a server that asks for fewer wants to guess the password."""

LONGEST_MESSAGE: Final = 4096
_BINDING_NAME = "tls-exporter"
_NONCE_SIZE = 24
# RFC 5802, section 7: the characters of a nonce.
_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+\Z")
_NAME_ESCAPES = re.compile(r"=(2C|3D)?")


class ScramClient:
    """The client's side of one exchange.

    Args:
        username, password: str, or UTF-8 bytes.
        binding: the channel binding of the TLS connection; None without TLS.
        plus: use the binding; only if the server offers `SCRAM_PLUS`.
        nonce: for test vectors; default 24 random bytes.

    Raises:
        LoginFailed: the user name or the password is too long, or SASLprep prohibits it.
        ValueError: ``plus`` without ``binding``.
    """

    def __init__(
        self,
        username: Text,
        password: Text,
        *,
        binding: bytes | None = None,
        plus: bool = False,
        nonce: str | None = None,
    ):
        if plus and binding is None:
            raise ValueError("SCRAM-SHA-256-PLUS needs the channel binding of a TLS connection")
        try:
            name = saslprep_octets(username, LONGEST_NAME).decode("utf-8")
        except ValueError as error:
            raise LoginFailed(f"the user name is not one: {error}") from None
        try:
            self._password = saslprep_octets(password, LONGEST_PASSWORD)
        except ValueError as error:
            raise LoginFailed(f"the password is not one: {error}") from None
        self._nonce = _new_nonce() if nonce is None else nonce
        flag = f"p={_BINDING_NAME}" if plus else "n" if binding is None else "y"
        self._header = f"{flag},,"
        self._binding = binding if plus and binding is not None else b""
        escaped = name.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={escaped},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the first message for the server."""
        return (self._header + self._first_bare).encode("utf-8")

    def final(self, server_first: object) -> bytes:
        """Return the second message for the server; takes the time of the iterations.

        Args:
            server_first: the answer of the server to `first`; any object.

        Raises:
            LoginFailed: the answer is malformed, or asks for too few or too many iterations.
        """
        text = _text(server_first, "server")
        nonce, salt, iterations = _read_server_first(text)
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise LoginFailed("SCRAM: the server has not used this client's nonce")
        salted = salted_password(self._password, salt, iterations)
        client_key = client_key_of(salted)
        bound = to_base64(self._header.encode("utf-8") + self._binding)
        without_proof = f"c={bound},r={nonce}"
        signed = f"{self._first_bare},{text},{without_proof}".encode()
        proof = _xor(client_key, hmac.digest(sha256(client_key), signed, "sha256"))
        self._signature = hmac.digest(server_key_of(salted), signed, "sha256")
        return f"{without_proof},p={to_base64(proof)}".encode()

    def verify(self, server_final: object) -> None:
        """Check the answer to `final`: it proves that the server knows this user's verifier.

        Raises:
            LoginFailed: the proof is wrong.
        """
        expected = b"v=" + to_base64(self._signature).encode("ascii")
        is_right = isinstance(server_final, bytes) and hmac.compare_digest(expected, server_final)
        if not self._signature or not is_right:
            raise LoginFailed(
                "the server's signature is wrong: it does not know this user's password; it may not"
                " be the server you think it is"
            )


class ScramServer:
    """The server's side of one exchange.

    Args:
        mechanism: `SCRAM` or `SCRAM_PLUS`, which the client has chosen.
        client_first: the client's first message; any object.
        binding: the channel binding of the TLS connection; None without TLS. With a binding the
            server offers `SCRAM_PLUS`.
        nonce: for test vectors; default 24 random bytes.

    Attributes:
        username: the user name that the client claims, prepared, to find the verifier.
        verifier: the argument of `first`.

    Raises:
        LoginFailed: the message is malformed, or does not match the mechanism.
        UnauthorizedLogin: the user name is too long, or SASLprep prohibits it.
    """

    def __init__(
        self,
        mechanism: str,
        client_first: object,
        *,
        binding: bytes | None = None,
        nonce: str | None = None,
    ):
        text = _text(client_first, "client")
        flag, self._first_bare = _split_header(text)
        _check_flag(flag, mechanism, binding is not None)
        self.username, self._nonce = _read_client_first(self._first_bare)
        self._nonce += _new_nonce() if nonce is None else nonce
        self._bound = f"{flag},,".encode()
        if mechanism == SCRAM_PLUS and binding is not None:
            self._bound += binding
        self._server_first = ""
        self.verifier: ScramVerifier | None = None

    def first(self, verifier: ScramVerifier) -> bytes:
        """Return the first message for the client.

        Args:
            verifier: that of the user; `ScramVerifier.of_nobody` for an unknown user.
        """
        self.verifier = verifier
        salt = to_base64(verifier.salt)
        self._server_first = f"r={self._nonce},s={salt},i={verifier.iterations}"
        return self._server_first.encode("utf-8")

    def final(self, client_final: object) -> bytes:
        """Check the client's second message, and return the second for the client.

        Raises:
            LoginFailed: it is malformed, of another exchange, or of another TLS connection.
            UnauthorizedLogin: it was not made with the password.
            RuntimeError: `first` has not been called, or this has been called before.
        """
        verifier, self.verifier = self.verifier, None
        if verifier is None:
            raise RuntimeError("ScramServer.final is called once, after first")
        text = _text(client_final, "client")
        without_proof, _, last = text.rpartition(",")
        fields = _fields(without_proof, "cr")
        if fields is None or not last.startswith("p="):
            raise LoginFailed("SCRAM: the client's final message is malformed")
        try:
            bound, proof = from_base64(fields["c"]), from_base64(last[2:])
            if len(proof) != KEY_SIZE:
                raise ValueError
        except ValueError:
            raise LoginFailed("SCRAM: the client's final message is malformed") from None
        if not hmac.compare_digest(self._nonce.encode(), fields["r"].encode("utf-8")):
            raise LoginFailed("SCRAM: the nonce is not that of this exchange")
        if not hmac.compare_digest(self._bound, bound):
            raise LoginFailed("channel binding failed: the client is on another TLS connection")
        signed = f"{self._first_bare},{self._server_first},{without_proof}".encode()
        client_key = _xor(proof, hmac.digest(verifier.stored_key, signed, "sha256"))
        if not hmac.compare_digest(verifier.stored_key, sha256(client_key)):
            raise wrong_login(verifier.reason or "wrong password")
        signature = hmac.digest(verifier.server_key, signed, "sha256")
        return b"v=" + to_base64(signature).encode("ascii")


def _split_header(text: str) -> tuple[str, str]:
    """Return the flag for channel binding, and the text after the header ``flag,,``."""
    parts = text.split(",", 2)
    if len(parts) != 3 or parts[1]:
        # An authorisation identity, to act as another user, is not supported.
        raise LoginFailed("SCRAM: the client's first message is malformed")
    return parts[0], parts[2]


def _check_flag(flag: str, mechanism: str, can_bind: bool) -> None:
    """Refuse a client whose channel binding flag contradicts the server: RFC 5802, section 6."""
    if flag == "y" and can_bind:
        raise LoginFailed("channel binding was stripped")
    if mechanism == SCRAM_PLUS:
        if flag != f"p={_BINDING_NAME}":
            raise LoginFailed(f"{SCRAM_PLUS} binds to the TLS connection by {_BINDING_NAME}")
        if not can_bind:
            raise LoginFailed(f"{SCRAM_PLUS} is for connections through TLS")
    elif flag not in ("n", "y"):
        raise LoginFailed(f"{SCRAM} has no channel binding; use {SCRAM_PLUS}")


def _read_client_first(text: str) -> tuple[str, str]:
    fields = _fields(text, "nr")
    if fields is None or not _NONCE.match(fields["r"]):
        raise LoginFailed("SCRAM: the client's first message is malformed")
    escapes = {"2C": ",", "3D": "="}
    try:
        name = _NAME_ESCAPES.sub(lambda match: escapes[match[1]], fields["n"])
    except KeyError:
        raise LoginFailed("SCRAM: the client's first message is malformed") from None
    try:
        return saslprep(name, LONGEST_NAME), fields["r"]
    except ValueError:
        raise wrong_login("no possible user name") from None


def _read_server_first(text: str) -> tuple[str, bytes, int]:
    fields = _fields(text, "rsi")
    try:
        if fields is None or not re.match(r"[1-9][0-9]{0,9}\Z", fields["i"]):
            raise ValueError
        salt = from_base64(fields["s"])
        if not salt or not _NONCE.match(fields["r"]):
            raise ValueError
    except ValueError:
        raise LoginFailed("SCRAM: the server's first message is malformed") from None
    iterations = int(fields["i"])
    if iterations < FEWEST_ITERATIONS:
        raise LoginFailed(
            f"the server asks for {iterations} iterations of SCRAM; fewer than {FEWEST_ITERATIONS}"
            " would let it guess the password: give the user a new verifier"
        )
    if iterations > MOST_ITERATIONS:
        raise LoginFailed(
            f"the server asks for {iterations} iterations of SCRAM; more than {MOST_ITERATIONS}"
            " are not made: give the user a new verifier"
        )
    return fields["r"], salt, iterations


def _fields(text: str, keys: str) -> dict[str, str] | None:
    """Read ``a=…,b=…`` with exactly these keys in this order; no extension is supported."""
    parts = text.split(",")
    if [part[:2] for part in parts] != [f"{key}=" for key in keys]:
        return None
    return {part[0]: part[2:] for part in parts}


def _text(message: object, whose: str) -> str:
    if not isinstance(message, bytes):
        raise LoginFailed(f"SCRAM: a message of the {whose}'s is {type(message).__name__}")
    if len(message) > LONGEST_MESSAGE:
        raise LoginFailed(f"SCRAM: a message of {len(message)} bytes, of {LONGEST_MESSAGE}")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise LoginFailed(f"SCRAM: a message of the {whose}'s is not UTF-8") from None


def _new_nonce() -> str:
    return to_base64(secrets.token_bytes(_NONCE_SIZE))


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
