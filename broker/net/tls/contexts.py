"""Makes the contexts of OpenSSL: the only set of versions and ciphers, certificates and CAs."""

from __future__ import annotations

import datetime
import importlib
import sys
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from broker.errors import ConfigError
from broker.net.tls.pem import (
    CertificateSource,
    KeySource,
    called,
    read_certificates,
    read_private_key,
)
from broker.net.tls.reloading import KeyMismatch
from broker.net.tls.verify import verify

__all__ = ["client_context", "server_context"]

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_CIPHERS_13 = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
_OPTIONS = (
    SSL.OP_NO_TICKET
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)
_TICKET_SECONDS = 2 * 60 * 60


def server_context(
    certificate: CertificateSource,
    key: KeySource,
    client_ca: CertificateSource | None,
    *,
    client_optional: bool,
    tickets: bool,
) -> SSL.Context:
    """Make the context of a server; see `broker.net.tls.settings.TLS.server`."""
    context = _context(SSL.TLS_SERVER_METHOD, with_tickets=tickets)
    # A client's own certificate is not checked: only the clock of the server counts for it.
    _check_dates(read_certificates(certificate, "certificate")[:1], certificate)
    _use_certificate(context, certificate, key)
    if client_ca is not None:
        _trust(context, client_ca)
        required = 0 if client_optional else SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        context.set_verify(SSL.VERIFY_PEER | required, verify)
    return context


def client_context(
    ca: CertificateSource | None,
    certificate: CertificateSource | None,
    key: KeySource,
    *,
    has_pin: bool,
) -> SSL.Context:
    """Make the context of a client; see `broker.net.tls.settings.TLS.client`."""
    context = _context(SSL.TLS_CLIENT_METHOD)
    if ca is not None:
        _trust(context, ca)
    elif not has_pin:
        _trust_system(context)
    if certificate is not None:
        _use_certificate(context, certificate, key)
    context.set_verify(SSL.VERIFY_PEER, verify)
    return context


def _context(method: int, *, with_tickets: bool = False) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_tls13_ciphersuites(_CIPHERS_13)
    if with_tickets:
        context.set_options(_OPTIONS & ~SSL.OP_NO_TICKET)
        context.set_timeout(_TICKET_SECONDS)
        context.set_tlsext_servername_callback(_tickets_from_tls_13)
    else:
        context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    return context


def _tickets_from_tls_13(connection: Any) -> None:
    """Give no ticket before TLS 1.3: who gets its key could decrypt what was recorded.

    OpenSSL calls this for each client, whether it sends a server name or not. If this raises, the
    handshake fails.
    """
    if connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
        return
    try:
        connection.set_options(SSL.OP_NO_TICKET)
    except AttributeError:
        # Before pyOpenSSL 26.2 only a private name can do it.
        lib = importlib.import_module("OpenSSL._util").lib
        lib.SSL_set_options(connection._ssl, SSL.OP_NO_TICKET)


def _use_certificate(context: SSL.Context, source: CertificateSource, key: KeySource) -> None:
    leaf, *others = read_certificates(source, "certificate")
    context.use_certificate(leaf)
    for other in others:
        context.add_extra_chain_cert(other)
    private = read_private_key(key)
    try:
        context.use_privatekey(private)
        context.check_privatekey()
    except (SSL.Error, TypeError) as exc:
        raise KeyMismatch(
            f"{called(key, 'the key')} is not the key of {called(source, 'the certificate')}:"
            " give the key that the certificate was made for"
        ) from exc


def _check_dates(certificates: Iterable[x509.Certificate], source: CertificateSource) -> None:
    """Check that a certificate of those read from a source is valid now.

    Raises:
        ConfigError: none is valid now: the other end would refuse them.
    """
    now = datetime.datetime.now(datetime.UTC)
    problem = ""
    for certificate in certificates:
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if first <= now <= last:
            return
        problem = f"expired on {last:%Y-%m-%d}"
        if now < first:
            problem = f"is not valid before {first:%Y-%m-%d}"
    raise ConfigError(f"{called(source, 'the certificate')} {problem}")


def _trust(context: SSL.Context, source: CertificateSource) -> None:
    store = context.get_cert_store()
    if store is None:
        raise ConfigError("OpenSSL has made no certificate store")
    trusted = read_certificates(source, "CA certificate")
    _check_dates(trusted, source)
    for certificate in trusted:
        store.add_cert(crypto.X509.from_cryptography(certificate))


def _trust_system(context: SSL.Context) -> None:
    if sys.platform in ("darwin", "win32"):
        # OpenSSL cannot read the trust store of these systems.
        context.load_verify_locations(importlib.import_module("certifi").where())
    else:
        context.set_default_verify_paths()
