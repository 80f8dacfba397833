"""Verifies a peer's certificate, and says in plain words why it is refused."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography import x509

from broker.errors import TLSError
from broker.fixes import fixed_by
from broker.net.host_names import ascii_name
from broker.net.tls.names import describe, is_for_host

__all__ = ["CertificateVerifier", "pin_of", "verify"]

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_OK = 0
_NOT_YET_VALID = 9
_EXPIRED = 10
_REVOKED = 23
_WRONG_PURPOSE = 26
# No issuer, self-signed, in the chain or as the leaf; an issuer that is not a CA, or not trusted.
_NO_TRUSTED_CA = frozenset({2, 18, 19, 20, 21, 24, 27, 28, 79})


class CertificateVerifier:
    """The result of checking the peer's certificate in one handshake.

    Attributes:
        host: the name that the certificate must be for, in ASCII and without a dot at its end; None
            to accept any name that a trusted CA has signed.
        names_ca: whether the program has named the CAs; if not, the error that no trusted CA has
            signed it advises that.
        pin: the SHA-256 of the public key the peer must have; then CA, dates and name do not count.
        is_accepted: the peer's own certificate has passed.
        problem: why it has not; None while no check has failed.

    Raises:
        ConfigError: ``host`` is not a host name.
    """

    __slots__ = ("_lacks_ca", "host", "is_accepted", "names_ca", "pin", "problem")

    def __init__(self, host: str | None = None, pin: bytes | None = None, *, names_ca: bool = True):
        self.host = None if host is None else ascii_name(host).removesuffix(".")
        self.pin = pin
        self.names_ca = names_ca
        self._lacks_ca = False
        self.is_accepted = False
        self.problem: str | None = None

    def check(self, certificate: x509.Certificate, number: int, depth: int) -> bool:
        """Check one certificate of the chain, the CA's first, the peer's own (depth 0) last.

        ``number`` is the error number of OpenSSL, 0 for no error.
        """
        self._lacks_ca = False
        if self.pin is not None:
            self.problem = self._wrong_pin(certificate, self.pin) if depth == 0 else None
        elif number != _OK:
            # An untrusted CA in the chain is the server's problem, so the text names the server.
            is_ca = number in _NO_TRUSTED_CA and depth > 0
            whose = self.host if is_ca and self.host else describe(certificate, 1)
            self.problem = _in_words(certificate, number, f"certificate of {whose}")
            self._lacks_ca = number in _NO_TRUSTED_CA and not self.names_ca
        elif depth == 0:
            self.problem = self.wrong_name(certificate)
        if self.problem is None and depth == 0:
            self.is_accepted = True
        return self.problem is None

    def error(self) -> TLSError | None:
        """Return the error of a handshake that the problem has ended; None without a problem."""
        if self.problem is None:
            return None
        if self._lacks_ca:
            return fixed_by(TLSError, f"{self.problem}; if its CA is yours, ", "ca")
        return TLSError(self.problem)

    def wrong_name(self, certificate: x509.Certificate) -> str | None:
        """Return an error text if the certificate is not for the host, else None."""
        if self.host is None or is_for_host(certificate, self.host):
            return None
        return f"certificate is for {describe(certificate)}, not {self.host}"

    def _wrong_pin(self, certificate: x509.Certificate, pin: bytes) -> str | None:
        found = pin_of(certificate)
        if hmac.compare_digest(found, pin):
            return None
        return f"certificate of {describe(certificate)} has another key: its pin is {found.hex()}"


def verify(connection: Any, certificate: Any, number: int, depth: int, ok: int) -> bool:
    """Verify callback of our contexts: ask the connection's `CertificateVerifier`.

    Never raises: an exception would end in a handshake error without a reason.
    """
    verifier: CertificateVerifier = connection.get_app_data()
    try:
        return verifier.check(certificate.to_cryptography(), number, depth)
    except Exception as exc:  # noqa: BLE001 - an error means refusal
        verifier.problem = f"the peer's certificate cannot be read ({type(exc).__name__})"
        return False


def pin_of(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's SubjectPublicKeyInfo, 32 bytes."""
    # Imported only when needed, see `broker.net.tls.pem`.
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = certificate.public_key()
    return hashlib.sha256(
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def _in_words(certificate: x509.Certificate, number: int, whose: str) -> str:
    if number == _EXPIRED:
        return f"{whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if number == _NOT_YET_VALID:
        return f"{whose} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if number in _NO_TRUSTED_CA:
        return f"{whose} is not signed by a trusted CA"
    if number == _REVOKED:
        return f"{whose} has been revoked"
    if number == _WRONG_PURPOSE:
        return f"{whose} may not be used for this end of a connection"
    return f"{whose} was refused (OpenSSL verification error {number})"
