"""Published names of `twisted.internet.ssl`, and the TLS filters made by context factories.

A context factory is any object whose `getContext` returns an `OpenSSL.SSL.Context`. Only the
context decides what certificates to trust: nothing else is verified, and no server name is sent.
The results of `optionsForClientTLS` and of `broker.TLS` verify the host too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from OpenSSL import SSL

from broker.net.filters import Filter
from broker.net.tls.filter import TLSFilter
from broker.reactor import typed
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
"""Whether TLS is supported (published): always."""


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
        OpenSSL.SSL.Error: a file cannot be used, or the key does not belong to the certificate.
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
        """Make the context and keep it, unless it exists already (published)."""
        if self._context is None:
            context = SSL.Context(self.sslmethod)
            context.set_min_proto_version(SSL.TLS1_2_VERSION)
            context.use_certificate_chain_file(self.certificateFileName)
            context.use_privatekey_file(self.privateKeyFileName)
            context.check_privatekey()
            self._context = context

    def getContext(self) -> SSL.Context:
        """Return the context (published)."""
        context: SSL.Context = self._context
        return context


class ClientContextFactory:
    """A client's context that encrypts but does not verify; TLS 1.2 or newer (published).

    A subclass may verify: it gets the context from here and changes it.
    """

    isClient = 1
    method = SSL.TLS_METHOD

    def getContext(self) -> SSL.Context:
        """Return a new context (published)."""
        context = SSL.Context(self.method)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        return context


def filters_maker(
    contextFactory: typed.ContextFactory | None, *, is_server: bool
) -> Callable[[], list[TLSFilter]] | None:
    """Return a function that makes the filters of a connection: TLS; None without a factory.

    The factory is asked for a context at once too, so that its errors are raised to the caller.
    """
    if contextFactory is None:
        return None
    contextFactory.getContext()
    if isinstance(contextFactory, ClientTLSOptions):
        return lambda: [contextFactory.make_filter()]
    return lambda: [TLSFilter.from_context(contextFactory.getContext(), server=is_server)]


def with_upper(
    make: Callable[[], list[TLSFilter]] | None, upper: Callable[[], Filter] | None
) -> Callable[[], Sequence[Filter]] | None:
    """Return a function that makes the filters of a connection: those of ``make``, and one above.

    Args:
        make: a result of `filters_maker`.
        upper: makes the filter above; None without one.
    """
    if upper is None:
        return make
    return lambda: [*(() if make is None else make()), upper()]
