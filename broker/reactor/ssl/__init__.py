"""Published names of `twisted.internet.ssl`, and how a context factory gets under a connection.

A context factory is any object whose `getContext` returns an `OpenSSL.SSL.Context`. The context
alone decides whom to trust: nothing is verified that it does not verify, and no server name is
asked for. What `optionsForClientTLS` returns verifies the host too, and so does `broker.TLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

from broker.net.tls.filter import TLSFilter
from broker.reactor.ssl.certificates import (
    DN,
    Certificate,
    CertificateRequest,
    DistinguishedName,
    KeyPair,
    PrivateCertificate,
)
from broker.reactor.ssl.options import (
    AcceptableCiphers,
    CertificateOptions,
    ClientTLSOptions,
    DiffieHellmanParameters,
    OpenSSLDefaultPaths,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

__all__ = [
    "DN",
    "AcceptableCiphers",
    "Certificate",
    "CertificateOptions",
    "CertificateRequest",
    "ClientContextFactory",
    "ContextFactory",
    "DefaultOpenSSLContextFactory",
    "DiffieHellmanParameters",
    "DistinguishedName",
    "KeyPair",
    "OpenSSLDefaultPaths",
    "PrivateCertificate",
    "TLSVersion",
    "optionsForClientTLS",
    "platformTrust",
    "supported",
    "trustRootFromCertificates",
]

supported = True
"""Whether there is TLS (published): always."""


class ContextFactory:
    """Base of context factories for servers (published)."""

    isClient = 0

    def getContext(self) -> SSL.Context:
        """Return the context of a connection; a subclass overrides this (published)."""
        raise NotImplementedError(f"{type(self).__name__} has no getContext")


class DefaultOpenSSLContextFactory(ContextFactory):
    """A server's context from two PEM files; TLS 1.2 or newer (published).

    Args:
        privateKeyFileName: path of the private key.
        certificateFileName: path of the certificate, followed by those of intermediate CAs if any.
        sslmethod: pyOpenSSL's method.

    Raises:
        OpenSSL.SSL.Error: a file cannot be used, or the key is not the certificate's.
    """

    def __init__(
        self,
        privateKeyFileName: str,
        certificateFileName: str,
        sslmethod: int = SSL.TLS_METHOD,
    ):
        self.privateKeyFileName = privateKeyFileName
        self.certificateFileName = certificateFileName
        self.sslmethod = sslmethod
        self._context: Any = None
        self.cacheContext()

    def cacheContext(self) -> None:
        """Make the context and keep it, unless it was made before (published)."""
        if self._context is None:
            context = SSL.Context(self.sslmethod)
            context.set_min_proto_version(SSL.TLS1_2_VERSION)
            context.use_certificate_chain_file(self.certificateFileName)
            context.use_privatekey_file(self.privateKeyFileName)
            context.check_privatekey()
            self._context = context

    def getContext(self) -> SSL.Context:
        """Return the one context (published)."""
        context: SSL.Context = self._context
        return context


class ClientContextFactory:
    """A client's context that encrypts and verifies nothing; TLS 1.2 or newer (published).

    A subclass may verify: it takes the context from here and adds to it.
    """

    isClient = 1
    method = SSL.TLS_METHOD

    def getContext(self) -> SSL.Context:
        """Return a new context (published)."""
        context = SSL.Context(self.method)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        return context


def filter_maker(contextFactory: Any, *, is_server: bool) -> Callable[[], TLSFilter] | None:
    """Return what makes the TLS filter of a connection; None without a context factory.

    The factory is asked for a context now too, so that its errors come out where it was given.
    """
    if contextFactory is None:
        return None
    contextFactory.getContext()
    if isinstance(contextFactory, ClientTLSOptions):
        return contextFactory.make_filter
    return lambda: TLSFilter.from_context(contextFactory.getContext(), server=is_server)
