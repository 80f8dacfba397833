"""Published CertificateOptions: TLS contexts by settings, and the authorities to trust.

The contexts work with our transports, which explain a refusal in plain words, and with those of
Twisted, which take a ready connection from `clientConnectionForTLS` or `serverConnectionForTLS`.
"""

from __future__ import annotations

import enum
import importlib
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from OpenSSL import SSL, crypto

from broker.net.host_names import ascii_name
from broker.net.tls.filter import TLSFilter
from broker.net.tls.verify import CertificateVerifier, verify

if TYPE_CHECKING:
    from broker.reactor.ssl.certificates import Certificate, PrivateCertificate

__all__ = [
    "AcceptableCiphers",
    "CertificateOptions",
    "ClientTLSOptions",
    "DiffieHellmanParameters",
    "OpenSSLCertificateAuthorities",
    "OpenSSLDefaultPaths",
    "TLSVersion",
    "optionsForClientTLS",
    "platformTrust",
    "trustRootFromCertificates",
]

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"


class TLSVersion(enum.Enum):
    """A version of SSL or TLS (published)."""

    SSLv3 = SSL.SSL3_VERSION
    TLSv1_0 = SSL.TLS1_VERSION
    TLSv1_1 = SSL.TLS1_1_VERSION
    TLSv1_2 = SSL.TLS1_2_VERSION
    TLSv1_3 = SSL.TLS1_3_VERSION


class AcceptableCiphers:
    """The allowed ciphers, in OpenSSL's syntax for lists (published)."""

    def __init__(self, ciphers: str):
        self.ciphers = ciphers

    @classmethod
    def fromOpenSSLCipherString(cls, cipherString: str) -> AcceptableCiphers:
        """Return the ciphers of a text in OpenSSL's syntax (published)."""
        return cls(cipherString)


class DiffieHellmanParameters:
    """Parameters for the older ephemeral key exchange (published)."""

    def __init__(self, parameters: object):
        self.path = str(getattr(parameters, "path", parameters))

    @classmethod
    def fromFile(cls, filePath: object) -> DiffieHellmanParameters:
        """Return the parameters in a PEM file (published)."""
        return cls(filePath)


class OpenSSLDefaultPaths:
    """Trusts the authorities that this system trusts (published)."""

    def add_to(self, context: SSL.Context) -> None:
        """Add these authorities to a context."""
        if sys.platform in ("darwin", "win32"):
            # OpenSSL cannot read the trust store of these systems.
            context.load_verify_locations(importlib.import_module("certifi").where())
        else:
            context.set_default_verify_paths()


class OpenSSLCertificateAuthorities:
    """Trusts these certificates, and certificates that they have signed (published).

    Args:
        caCerts: pyOpenSSL certificates.
    """

    def __init__(self, caCerts: Iterable[crypto.X509]):
        self.certificates = list(caCerts)

    def add_to(self, context: SSL.Context) -> None:
        """Add these authorities to a context."""
        store: Any = context.get_cert_store()
        for certificate in self.certificates:
            store.add_cert(certificate)


Trust: TypeAlias = OpenSSLDefaultPaths | OpenSSLCertificateAuthorities


def platformTrust() -> OpenSSLDefaultPaths:
    """Return an object that trusts the authorities of this system (published)."""
    return OpenSSLDefaultPaths()


def trustRootFromCertificates(certificates: Iterable[Any]) -> OpenSSLCertificateAuthorities:
    """Return an object that trusts these `ssl.Certificate` objects, and what they sign (published).

    Raises:
        TypeError: an item is not a certificate.
    """
    originals = [getattr(certificate, "original", certificate) for certificate in certificates]
    for original in originals:
        if not isinstance(original, crypto.X509):
            raise TypeError(f"a {type(original).__name__} is not a certificate")
    return OpenSSLCertificateAuthorities(originals)


class CertificateOptions:
    """A context factory for either end, by settings (published).

    Without `trustRoot` nothing is verified, at either end. The minimum version is TLS 1.2.

    Args:
        privateKey, certificate: objects of pyOpenSSL; both, or neither.
        method: pyOpenSSL's method, in place of the three bounds on versions.
        verify, caCerts: the older form of `trustRoot`; `caCerts` is a list of pyOpenSSL
            certificates.
        verifyDepth: maximum length of a chain of certificates.
        requireCertificate: with a `trustRoot`, refuse peers without a certificate.
        verifyOnce, fixBrokenPeers, enableSingleUseKeys: without effect in present OpenSSL.
        enableSessions, enableSessionTickets: let clients resume.
        extraCertChain: intermediate certificates of pyOpenSSL.
        acceptableCiphers: by default those with forward secrecy and authenticated encryption.
        dhParameters: for ciphers that need them.
        trustRoot: the authorities to trust: `platformTrust()`, `trustRootFromCertificates(…)`, or
            one `ssl.Certificate`.
        acceptableProtocols: protocol names to choose from (ALPN), best first, as bytes.
        raiseMinimumTo, insecurelyLowerMinimumTo, lowerMaximumSecurityTo: the bounds on versions.
        contextForServerName: called with the server name that a client sends, or None; returns the
            context for it, or None.

    Raises:
        ValueError: only one of two settings that need each other is given; or no version is left.
        TypeError: settings exclude each other, or `trustRoot` is not of a known kind.
    """

    def __init__(
        self,
        privateKey: crypto.PKey | None = None,
        certificate: crypto.X509 | None = None,
        method: int | None = None,
        verify: bool = False,
        caCerts: list[crypto.X509] | None = None,
        verifyDepth: int = 9,
        requireCertificate: bool = True,
        verifyOnce: bool = True,
        enableSingleUseKeys: bool = True,
        enableSessions: bool = False,
        fixBrokenPeers: bool = False,
        enableSessionTickets: bool = False,
        extraCertChain: list[crypto.X509] | None = None,
        acceptableCiphers: AcceptableCiphers | None = None,
        dhParameters: DiffieHellmanParameters | None = None,
        trustRoot: Trust | Certificate | None = None,
        acceptableProtocols: Sequence[bytes] | None = None,
        raiseMinimumTo: TLSVersion | None = None,
        insecurelyLowerMinimumTo: TLSVersion | None = None,
        lowerMaximumSecurityTo: TLSVersion | None = None,
        contextForServerName: Callable[[bytes | None], SSL.Context | None] | None = None,
    ):
        self.extraCertChain = _chain(privateKey, certificate, extraCertChain)
        self.privateKey, self.certificate = privateKey, certificate
        self.trustRoot = _trust(trustRoot, verify, caCerts)
        self.verifyDepth, self.requireCertificate = verifyDepth, requireCertificate
        self.enableSessions, self.enableSessionTickets = enableSessions, enableSessionTickets
        self.ciphers = acceptableCiphers or AcceptableCiphers(CIPHERS)
        self.dhParameters = dhParameters
        self.protocols = list(acceptableProtocols or ())
        self.method = method
        least, lowered, most = raiseMinimumTo, insecurelyLowerMinimumTo, lowerMaximumSecurityTo
        self.versions = _bounds(method, least, lowered, most)
        self.contextForServerName = contextForServerName
        self._hostname: str | None = None
        self._context: SSL.Context | None = None

    def getContext(self) -> SSL.Context:
        """Return the context, always the same (published).

        Raises:
            OpenSSL.SSL.Error: the key does not belong to the certificate.
        """
        if self._context is None:
            self._context = self._make_context()
        return self._context

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Return a new connection for a transport of Twisted (published)."""
        return SSL.Connection(self.getContext(), None)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Return a new connection for a transport of Twisted (published)."""
        return SSL.Connection(self.getContext(), None)

    def _make_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD if self.method is None else self.method)
        least, most = self.versions
        context.set_min_proto_version(least.value)
        if most is not None:
            context.set_max_proto_version(most.value)
        context.set_options(
            SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(self.ciphers.ciphers.encode("ascii"))
        self._set_sessions(context)
        self._set_identity(context)
        self._set_trust(context)
        self._set_names(context)
        if self.dhParameters is not None:
            context.load_tmp_dh(self.dhParameters.path)
        return context

    def _set_sessions(self, context: SSL.Context) -> None:
        if not self.enableSessionTickets:
            context.set_options(SSL.OP_NO_TICKET)
        if self.enableSessions:
            context.set_session_id(secrets.token_bytes(32))
        else:
            context.set_session_cache_mode(SSL.SESS_CACHE_OFF)

    def _set_identity(self, context: SSL.Context) -> None:
        if self.certificate is None or self.privateKey is None:
            return
        context.use_certificate(self.certificate.to_cryptography())
        for other in self.extraCertChain:
            context.add_extra_chain_cert(other.to_cryptography())
        private: Any = self.privateKey.to_cryptography_key()
        context.use_privatekey(private)
        context.check_privatekey()

    def _set_trust(self, context: SSL.Context) -> None:
        if self.trustRoot is None:
            context.set_verify(SSL.VERIFY_NONE, _accept)
            return
        self.trustRoot.add_to(context)
        required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if self.requireCertificate else 0
        context.set_verify(SSL.VERIFY_PEER | required, self._verify)
        context.set_verify_depth(self.verifyDepth)

    def _verify(
        self, connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int
    ) -> bool:
        if isinstance(connection.get_app_data(), CertificateVerifier):
            return verify(connection, certificate, number, depth, ok)
        # A connection of another TLS layer: the host name must be checked here too.
        verifier = CertificateVerifier(self._hostname)
        try:
            return verifier.check(certificate.to_cryptography(), number, depth)
        except Exception:  # noqa: BLE001 - an error means refusal
            return False

    def _set_names(self, context: SSL.Context) -> None:
        if self.protocols:
            context.set_alpn_protos(self.protocols)
            context.set_alpn_select_callback(self._choose_protocol)
        if self.contextForServerName is not None:
            context.set_tlsext_servername_callback(self._choose_context)

    def _choose_protocol(self, connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
        common = [name for name in self.protocols if name in offered]
        return common[0] if common else SSL.NO_OVERLAPPING_PROTOCOLS

    def _choose_context(self, connection: SSL.Connection) -> None:
        if self.contextForServerName is not None:
            context = self.contextForServerName(connection.get_servername())
            if context is not None:
                connection.set_context(context)


class ClientTLSOptions:
    """TLS settings of a client for one host, as `optionsForClientTLS` returns them.

    Attributes:
        hostname: the name that the certificate must be for, in ASCII.
    """

    def __init__(self, hostname: str, options: CertificateOptions, sends_name: bool):
        self.hostname = hostname
        self._options = options
        self._options._hostname = hostname
        self._sends_name = sends_name

    def getContext(self) -> SSL.Context:
        """Return the context, which verifies chain and name, but does not send the name."""
        return self._options.getContext()

    def make_filter(self) -> TLSFilter:
        """Return the filter of a new connection to the host."""
        verifier = CertificateVerifier(self.hostname if self._sends_name else None)
        tls_filter = TLSFilter(self.getContext(), is_server=False, verifier=verifier)
        # The server name was sent with the first message; from now on the name is checked.
        verifier.host = self.hostname
        return tls_filter

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """Return a new connection to the host, for a transport of Twisted (published)."""
        connection = SSL.Connection(self.getContext(), None)
        connection.set_app_data(CertificateVerifier(self.hostname))
        if self._sends_name and not _is_address(self.hostname):
            connection.set_tlsext_host_name(self.hostname.encode("ascii"))
        return connection


def optionsForClientTLS(
    hostname: str,
    trustRoot: Trust | Certificate | None = None,
    clientCertificate: PrivateCertificate | None = None,
    acceptableProtocols: Sequence[bytes] | None = None,
    *,
    extraCertificateOptions: dict[str, Any] | None = None,
    sendServerName: bool | None = None,
) -> ClientTLSOptions:
    """Return TLS settings of a client that verify that the server is `hostname` (published).

    Args:
        hostname: a host name or a numeric address, as text.
        trustRoot: as for CertificateOptions; None is `platformTrust()`.
        clientCertificate: the `ssl.PrivateCertificate` for a server that asks for one.
        acceptableProtocols: protocol names to choose from (ALPN), best first, as bytes.
        extraCertificateOptions: other arguments of CertificateOptions.
        sendServerName: whether to send the server name; default always.

    Raises:
        TypeError: the host name is not text.
        ConfigError: it is not a host name.
    """
    if not isinstance(hostname, str):
        raise TypeError(f"optionsForClientTLS needs text for host names, not {type(hostname)!r}")
    settings = dict(extraCertificateOptions or {})
    if clientCertificate is not None:
        settings["privateKey"] = clientCertificate.privateKey.original
        settings["certificate"] = clientCertificate.original
    options = CertificateOptions(
        trustRoot=platformTrust() if trustRoot is None else trustRoot,
        acceptableProtocols=acceptableProtocols,
        **settings,
    )
    name = ascii_name(hostname).removesuffix(".")
    return ClientTLSOptions(name, options, sendServerName is not False)


def _chain(
    key: crypto.PKey | None, certificate: crypto.X509 | None, chain: list[crypto.X509] | None
) -> list[crypto.X509]:
    if (key is None) != (certificate is None):
        raise ValueError("Specify neither or both of privateKey and certificate.")
    if chain and certificate is None:
        raise ValueError("extraCertChain needs privateKey and certificate")
    return list(chain or ())


def _trust(
    root: Trust | Certificate | None, verify: bool, authorities: list[crypto.X509] | None
) -> Trust | None:
    """Return the object with `add_to` for the new or the old form of trust; or None."""
    if root is not None and (verify or authorities is not None):
        raise TypeError("give trustRoot, or verify and caCerts, not both")
    if verify and not authorities:
        raise ValueError("verify needs caCerts: whom to trust")
    if verify and authorities:
        return OpenSSLCertificateAuthorities(authorities)
    if root is None or isinstance(root, OpenSSLDefaultPaths | OpenSSLCertificateAuthorities):
        return root
    return trustRootFromCertificates([root])


def _bounds(
    method: int | None,
    least: TLSVersion | None,
    lowered: TLSVersion | None,
    most: TLSVersion | None,
) -> tuple[TLSVersion, TLSVersion | None]:
    """Return the oldest and the newest allowed version."""
    if least is not None and lowered is not None:
        raise TypeError("give raiseMinimumTo or insecurelyLowerMinimumTo, not both")
    if method is not None and (least or lowered or most):
        raise TypeError("give method, or bounds on versions, not both")
    oldest = least or lowered or TLSVersion.TLSv1_2
    if least is not None and least.value < TLSVersion.TLSv1_2.value:
        oldest = TLSVersion.TLSv1_2
    if most is not None and most.value < oldest.value:
        raise ValueError(f"no version is left between {oldest.name} and {most.name}")
    return oldest, most


def _accept(
    connection: SSL.Connection, certificate: crypto.X509, number: int, depth: int, ok: int
) -> bool:
    return True


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
