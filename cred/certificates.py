"""Logins by TLS client certificate: by a name that a CA has signed, or by the key.

Before a checker sees the certificate, the TLS layer has verified it, and that the client has its
key (``TLS.server(…, client_ca=…)``). This module finds the user: by the subject alternative names
(e-mail address, URI or DNS name), or by the SHA-256 of the public key, as text
``cert:<64 hexadecimal digits>``. The common name never counts: CAs do not check it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from zope.interface import implementer

from broker.config_error import ConfigError
from cred.checkers import ICredentialsChecker
from cred.error import UnauthorizedLogin
from cred.interfaces import IClientCertificate
from cred.strcred import ICheckerFactory, InvalidAuthArgumentString

__all__ = ["CertificateChecker", "CertificateCheckerFactory", "fingerprint_of"]

_NAMES: Final[dict[str, Any]] = {
    "email": x509.RFC822Name,
    "uri": x509.UniformResourceIdentifier,
    "dns": x509.DNSName,
}


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return ``cert:`` and the SHA-256 of the public key (SubjectPublicKeyInfo), in hexadecimal.

    It stays the same when the certificate is renewed for the same key.
    """
    key = certificate.public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"cert:{hashlib.sha256(octets).hexdigest()}"


@implementer(ICredentialsChecker)
class CertificateChecker:
    """Accepts clients by their certificates.

    Args:
        users: maps a name of the certificate, of the kind ``by``, to a user name or `Identity`. The
            name is a fingerprint ``cert:…``, an e-mail address, a URI or a DNS name. A certificate
            without an entry is refused. None accepts every certificate that the CA has signed; the
            avatar id is the fingerprint or name itself.
        by: ``"key"``, ``"email"``, ``"uri"`` or ``"dns"``.
        ca: the path of a PEM file, or PEM bytes: accept only certificates whose chain ends in one
            of these. For a server whose TLS trusts more; None for all that TLS trusts.

    Attributes:
        ca: the argument; a server may use it for ``TLS.server(…, client_ca=…)``.

    Raises:
        ConfigError: ``by`` is something else, or ``ca`` cannot be read.
    """

    credentialInterfaces = (IClientCertificate,)

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        *,
        by: str = "key",
        ca: str | os.PathLike[str] | bytes | None = None,
    ) -> None:
        if by != "key" and by not in _NAMES:
            raise ConfigError("certificates are told apart by= key, email, uri or dns")
        self.ca = ca
        self._by = by
        self._users = None if users is None else {_folded(name, by): users[name] for name in users}
        self._authorities = None if ca is None else frozenset(_read(ca))

    def requestAvatarId(self, credentials: Any) -> str:
        """Return the user of the certificate.

        Raises:
            UnauthorizedLogin: another CA has signed it, it has no name of the kind that counts, or
                it belongs to no user.
        """
        if self._authorities is not None and credentials.chain[-1] not in self._authorities:
            raise UnauthorizedLogin("certificate is not signed by a CA of this server's logins")
        certificate: x509.Certificate = credentials.certificate
        names = [_folded(name, self._by) for name in _names_of(certificate, self._by)]
        if self._users is not None:
            names = [self._users[name] for name in names if name in self._users]
            if not names:
                raise UnauthorizedLogin("certificate belongs to no user here")
        elif not names:
            raise UnauthorizedLogin(f"certificate has no {self._by} among its alternative names")
        if len(set(names)) > 1:
            raise UnauthorizedLogin(f"certificate stands for {len(set(names))} users at once")
        return names[0]


@implementer(ICheckerFactory)
class CertificateCheckerFactory:
    """``cert:ca.pem``: a `CertificateChecker` for the clients of that CA."""

    authType = "cert"
    argStringFormat = "ca.pem, or ca.pem?by=email (or uri, or dns)"
    authHelp = """\
TLS client certificates that the CA of the PEM file has signed; the server must ask for them.
The user is the certificate's e-mail address, URI or DNS name, of its alternative names; without by=
the SHA-256 of its public key, as cert:<64 hexadecimal digits>."""
    credentialInterfaces = (IClientCertificate,)

    def generateChecker(self, argstring: str) -> CertificateChecker:
        """Return the checker.

        Raises:
            InvalidAuthArgumentString: the argument is not what is described above.
            ConfigError: the file cannot be read.
        """
        path, _, query = argstring.partition("?")
        try:
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        except ValueError:
            options = {"": ""}
        by = options.pop("by", "key")
        if not path or options or by not in ("key", *_NAMES):
            raise InvalidAuthArgumentString(f"cert: it takes {self.argStringFormat}")
        return CertificateChecker(by=by, ca=path)


def _names_of(certificate: x509.Certificate, by: str) -> list[str]:
    """Return the names of a kind in a certificate; an empty list if they cannot be read."""
    try:
        if by == "key":
            return [fingerprint_of(certificate)]
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names: list[str] = extension.value.get_values_for_type(_NAMES[by])
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        return []
    return names


def _folded(name: str, by: str) -> str:
    """Return a name as it is compared: domains and fingerprints in lower case."""
    if by == "email":
        local, at, domain = name.rpartition("@")
        return f"{local}{at}{domain.lower()}"
    return name if by == "uri" else name.lower()


def _read(source: str | os.PathLike[str] | bytes) -> list[x509.Certificate]:
    called = "the CA" if isinstance(source, bytes) else str(source)
    try:
        pem = source if isinstance(source, bytes) else Path(source).read_bytes()
        return x509.load_pem_x509_certificates(pem)
    except OSError as error:
        raise ConfigError(f"cannot read {called}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{called} holds no certificate in PEM form") from None
