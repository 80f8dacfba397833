"""TLS settings: the own certificate, the trusted CAs, and the only set of versions and ciphers."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from broker.errors import ConfigError
from broker.fixes import fixed_by
from broker.net.tls.filter import TLSFilter
from broker.net.tls.pem import (
    CertificateSource,
    KeySource,
    called,
    read_certificates,
    read_private_key,
)
from broker.net.tls.reloading import KeyMismatch, ReloadingContext
from broker.net.tls.sessions import Resumption, Sessions
from broker.net.tls.verify import CertificateVerifier, verify

__all__ = ["TLS"]

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_CIPHERS_13 = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
_OPTIONS = (
    SSL.OP_NO_TICKET
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_NO_COMPRESSION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)
_TICKET_SECONDS = 2 * 60 * 60


@dataclass(frozen=True, slots=True)
class TLS:
    """How one end uses TLS; make one with `TLS.server` or `TLS.client`, and share it.

    TLS 1.2 or 1.3, ECDHE with AES-GCM or ChaCha20 only; no renegotiation, compression or early
    data.

    A client that connects to a server again may resume its session, if the server has given a
    ticket. Then the certificates are not sent again. Servers of `TLS.server` give none unless
    ``tickets`` is set. See `broker.net.tls.sessions` for the rules.

    A file that was given by its path may be replaced while the program runs. The next connection
    uses the new content. While a key and its certificate do not match, or a file cannot be read,
    the old content stays in use, and this is logged once.

    Attributes:
        is_server: which end the settings are for.
        pin: the SHA-256 of the only public key that is trusted, or None.
    """

    is_server: bool
    pin: bytes | None
    _live: ReloadingContext = field(repr=False, compare=False)
    _names_ca: bool = field(default=True, repr=False, compare=False)
    _sessions: Sessions | None = field(default=None, repr=False, compare=False)

    @classmethod
    def server(
        cls,
        certificate: CertificateSource,
        key: KeySource,
        *,
        client_ca: CertificateSource | None = None,
        client_optional: bool = False,
        tickets: bool = False,
    ) -> TLS:
        """Make a server's settings.

        Args:
            certificate: the server's certificate, followed by those of intermediate CAs if any.
            key: its private key.
            client_ca: CAs whose client certificates are required; None requires none.
            client_optional: accept clients without a certificate, which can log in in another way.
            tickets: give clients that speak TLS 1.3 session tickets, which make their next
                handshake cheaper. A ticket is valid for two hours, and until the certificate is
                read again or the program ends.

        Raises:
            ConfigError: a file cannot be read, the key does not belong to the certificate, no
                certificate of a file is valid at this time, or both ``client_ca`` and ``tickets``
                are given.
        """
        if tickets and client_ca is not None:
            raise ConfigError(
                "give client_ca= or tickets=, not both: a client that resumes a session does not"
                " show its certificate again"
            )

        def make() -> SSL.Context:
            context = _context(SSL.TLS_SERVER_METHOD, with_tickets=tickets)
            # A client's own certificate is not checked: only the clock of the server counts for it.
            _check_dates(read_certificates(certificate, "certificate")[:1], certificate)
            _use_certificate(context, certificate, key)
            if client_ca is not None:
                _trust(context, client_ca)
                required = 0 if client_optional else SSL.VERIFY_FAIL_IF_NO_PEER_CERT
                context.set_verify(SSL.VERIFY_PEER | required, verify)
            return context

        return cls(True, None, ReloadingContext(make, _files(certificate, key, client_ca)))

    @classmethod
    def client(
        cls,
        *,
        ca: CertificateSource | None = None,
        certificate: CertificateSource | None = None,
        key: KeySource = None,
        pin: str | bytes | None = None,
    ) -> TLS:
        """Make a client's settings.

        Args:
            ca: CAs that may sign the server's certificate; None for the CAs of this system.
            certificate: sent to a server that asks for a client certificate.
            key: its private key.
            pin: the SHA-256 of the SubjectPublicKeyInfo of the server, 32 bytes or in hex.
                With a pin, the CA, the dates and the host name of its certificate are not checked.

        Raises:
            ConfigError: a file cannot be read, no certificate of ``ca`` is valid at this time, or
                settings contradict each other.
        """
        if pin is not None and ca is not None:
            raise fixed_by(ConfigError, "", "ca or pin", ", not both: a pin replaces the CA")
        if (certificate is None) != (key is None):
            before = "a client certificate needs "
            raise fixed_by(ConfigError, before, "certificate and key")

        def make() -> SSL.Context:
            context = _context(SSL.TLS_CLIENT_METHOD)
            if ca is not None:
                _trust(context, ca)
            elif pin is None:
                _trust_system(context)
            if certificate is not None:
                _use_certificate(context, certificate, key)
            context.set_verify(SSL.VERIFY_PEER, verify)
            return context

        live = ReloadingContext(make, _files(ca, certificate, key))
        sessions = Sessions() if certificate is None else None
        return cls(False, None if pin is None else _pin(pin), live, ca is not None, sessions)

    @property
    def files(self) -> tuple[str | Path, ...]:
        """The files of certificates and keys, as they were given."""
        return self._live.files

    def reload(self) -> None:
        """Read the files again, for new connections; open connections continue unchanged.

        Raises:
            ConfigError: they are invalid; the old content stays in use.
        """
        self._live.reload()

    def filter(self, host: str | None = None, port: int | None = None) -> TLSFilter:
        """Make the filter of one connection; a client gives the ``host`` it connects to.

        With the ``port`` the sessions of two servers on one host are kept apart.

        Raises:
            ConfigError: a client without a pin gives no host, or the host name is not valid.
        """
        if self.is_server:
            return TLSFilter(self._live.current(), is_server=True, verifier=CertificateVerifier())
        if host is None and self.pin is None:
            raise ConfigError("a TLS client must know the host name it connects to, or a pin")
        verifier = CertificateVerifier(host, self.pin, names_ca=self._names_ca)
        context, resumption = self._live.current(), None
        if self._sessions is not None:
            server, has_dates = (verifier.host, port), self.pin is None
            resumption = Resumption(self._sessions, server, context, has_dates=has_dates)
        return TLSFilter(context, is_server=False, verifier=verifier, resumption=resumption)

    def filter_maker(
        self, *, is_server: bool, host: str | None = None, port: int | None = None
    ) -> Callable[[], TLSFilter]:
        """Return `filter` for one end, or refuse settings of the other end.

        Raises:
            ConfigError: these settings are for the other end.
        """
        if is_server and not self.is_server:
            raise ConfigError("a server needs TLS.server(certificate, key), not TLS.client()")
        if self.is_server and not is_server:
            raise ConfigError("a client needs TLS.client(), not TLS.server(…)")
        return lambda: self.filter(host, port)


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


def _files(*sources: Any) -> list[str | Path]:
    return [source for source in sources if isinstance(source, str | Path)]


def _pin(pin: str | bytes) -> bytes:
    try:
        raw = pin if isinstance(pin, bytes) else bytes.fromhex(pin.replace(":", ""))
    except ValueError as exc:
        raise ConfigError("pin= is not hexadecimal") from exc
    if len(raw) != hashlib.sha256().digest_size:
        raise ConfigError("pin= must be the SHA-256 of a public key: 32 bytes, 64 hex digits")
    return raw
