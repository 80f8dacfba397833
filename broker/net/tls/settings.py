"""TLS settings: the own certificate, and the trusted CAs.

The modules that need OpenSSL are loaded when the first settings are made. They would take a third
of the time of ``import broker``, and connections within a machine need no TLS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from broker.errors import ConfigError
from broker.fixes import fixed_by
from broker.net.tls.reloading import ReloadingContext

if TYPE_CHECKING:
    from pathlib import Path

    from OpenSSL import SSL

    from broker.net.tls.filter import TLSFilter
    from broker.net.tls.pem import CertificateSource, KeySource
    from broker.net.tls.sessions import Sessions

__all__ = ["TLS"]


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
            from broker.net.tls.contexts import server_context

            return server_context(
                certificate, key, client_ca, client_optional=client_optional, tickets=tickets
            )

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
            from broker.net.tls.contexts import client_context

            return client_context(ca, certificate, key, has_pin=pin is not None)

        from broker.net.tls.sessions import Sessions

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
        from broker.net.tls.filter import TLSFilter
        from broker.net.tls.verify import CertificateVerifier

        if self.is_server:
            return TLSFilter(self._live.current(), is_server=True, verifier=CertificateVerifier())
        if host is None and self.pin is None:
            raise ConfigError("a TLS client must know the host name it connects to, or a pin")
        verifier = CertificateVerifier(host, self.pin, names_ca=self._names_ca)
        context, resumption = self._live.current(), None
        if self._sessions is not None:
            from broker.net.tls.sessions import Resumption

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


def _files(*sources: Any) -> list[str | Path]:
    from pathlib import Path

    return [source for source in sources if isinstance(source, str | Path)]


def _pin(pin: str | bytes) -> bytes:
    try:
        raw = pin if isinstance(pin, bytes) else bytes.fromhex(pin.replace(":", ""))
    except ValueError as exc:
        raise ConfigError("pin= is not hexadecimal") from exc
    if len(raw) != hashlib.sha256().digest_size:
        raise ConfigError("pin= must be the SHA-256 of a public key: 32 bytes, 64 hex digits")
    return raw
