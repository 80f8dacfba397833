"""TLS without a socket: ciphertext in, plaintext out, and the reverse.

Theory of operation
===================

A `TLSFilter` is one end of a TLS connection on OpenSSL's memory BIOs. It does not do input or
output. The caller gives bytes of the peer to `receive`, and after each call sends the result of
`data_to_send` to the peer::

    plaintext = filter.receive(ciphertext)      # b"" while the handshake runs
    socket.send(filter.data_to_send())

Errors are `TLSError` with a sentence for the user. OpenSSL says only "certificate verify failed";
the verify callback keeps the reason (`broker.net.tls.verify`). A peer that does not speak TLS, or
has old versions only, is detected by its first bytes, because OpenSSL's texts for these cases vary.

An error can follow good data in one `receive`. The data is returned first and the error kept in
`failure`. So the delivered data does not depend on how the bytes were split.

Memory: OpenSSL's memory BIOs grow and never shrink. They are filled and emptied in pieces of one
TLS record, so a connection that has carried gigabytes keeps the memory of one record each way.
`shrink` frees that too (`broker.net.tls.bios`).
"""

from __future__ import annotations

import re
from contextlib import suppress

from cryptography import x509
from OpenSSL import SSL

from broker.errors import TLSError
from broker.net.filters import Filter
from broker.net.host_names import is_numeric
from broker.net.tls.bios import renew_bios
from broker.net.tls.records import RecordCounter
from broker.net.tls.sessions import Resumption
from broker.net.tls.verify import CertificateVerifier

__all__ = ["MAX_HANDSHAKE", "TLSFilter"]

MAX_HANDSHAKE = 64 * 1024
"""Bytes of ciphertext a peer may send before the handshake has finished."""

_RECORD = 16 * 1024
# A full record with its header, nonce and tag.
_SEALED_RECORD = _RECORD + 256

_BINDING_LABEL, _BINDING_SIZE = b"EXPORTER-Channel-Binding", 32
_ALERT_RECORD, _HANDSHAKE_RECORD = 21, 22
_OLD_VERSIONS = {b"\3\0": "SSL 3.0", b"\3\1": "TLS 1.0", b"\3\2": "TLS 1.1"}


class TLSFilter(Filter):
    """One end of one TLS connection.

    Args:
        context: an OpenSSL context, of `TLS` or of the application.
        is_server: which end.
        verifier: checks the peer's certificate; for a client it also has the server name to send.
        resumption: the sessions that a client may resume; None to make a full handshake.

    Attributes:
        is_server: which end.
        is_open: the peer is accepted, and `send` may be called.
        peer_closed: the peer has sent close_notify: no data follows.
        failure: the error that ended the connection, after `receive` has returned the data before
            it.
    """

    name = "TLS"
    error = TLSError
    has_close = is_secure = True
    is_server: bool
    is_open: bool
    peer_closed: bool
    failure: TLSError | None

    __slots__ = (
        "_connection",
        "_fed",
        "_head",
        "_is_closed",
        "_is_quiet",
        "_records",
        "_resumed_chain",
        "_resumption",
        "_sealed",
        "_verifier",
        "failure",
        "is_open",
        "is_server",
        "peer_closed",
    )

    def __init__(
        self,
        context: SSL.Context,
        *,
        is_server: bool,
        verifier: CertificateVerifier,
        resumption: Resumption | None = None,
    ):
        self.is_open = False
        self.peer_closed = False
        self.failure = None
        self._verifier = verifier
        # None once a session is kept.
        self._resumption = resumption
        # The chain that was verified when the session began; None after a full handshake.
        self._resumed_chain: tuple[x509.Certificate, ...] | None = None
        self.is_server = is_server
        self._is_closed = False
        # Whether OpenSSL has no bytes for the peer: asking it costs an error.
        self._is_quiet = False
        self._records = RecordCounter()
        self._fed = 0
        self._head = b""
        self._sealed: list[bytes] = []
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data(verifier)
        if is_server:
            self._connection.set_accept_state()
            return
        self._connection.set_connect_state()
        if verifier.host is not None and not is_numeric(verifier.host):
            self._connection.set_tlsext_host_name(verifier.host.encode("ascii"))
        if resumption is not None:
            resumption.offer(self._connection)
        with suppress(SSL.WantReadError):
            self._connection.do_handshake()

    @classmethod
    def from_context(
        cls, context: SSL.Context, *, server: bool, host: str | None = None
    ) -> TLSFilter:
        """Make a filter with a context of the application, which decides what peers to trust.

        A client sends ``host`` as the server name, and the certificate must be for it.
        """
        return cls(context, is_server=server, verifier=CertificateVerifier(host))

    @property
    def is_resumed(self) -> bool:
        """Whether this client has resumed a session: the certificate was verified earlier."""
        return self._resumed_chain is not None

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The peer's certificate, once the handshake is done; None if it has sent none."""
        if not self.is_open:
            return None
        return self._connection.get_peer_certificate(as_cryptography=True)

    @property
    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """The chain by which the peer's certificate was verified: its own first, the CA's last.

        Empty if it was not verified by a context that calls `verify`: in this handshake, or in the
        one in which a session began that this client has resumed.
        """
        if not self.is_open or not self._verifier.is_accepted:
            return ()
        if self._resumed_chain is not None:
            return self._resumed_chain
        return tuple(self._connection.get_verified_chain(as_cryptography=True) or ())

    def channel_binding(self) -> bytes | None:
        """Return bytes that only the two ends of this connection can compute (RFC 9266).

        None before the handshake is done, and before TLS 1.3. There the bytes are unique to the
        connection only with an extension, and OpenSSL does not tell whether it was used.
        """
        if not self.is_open or self.version != "TLSv1.3":
            return None
        return self._connection.export_keying_material(_BINDING_LABEL, _BINDING_SIZE)

    @property
    def version(self) -> str:
        """The protocol version, such as ``"TLSv1.3"``."""
        return self._connection.get_protocol_version_name()

    def receive(self, ciphertext: bytes | memoryview) -> bytes:
        """Take bytes from the peer; return the plaintext that they complete.

        Raises:
            TLSError: the connection cannot continue; `data_to_send` returns the alert for the peer.
        """
        plaintext: list[bytes] = []
        try:
            for start in range(0, len(ciphertext), _RECORD):
                if self.failure is None and not self.peer_closed:
                    self._take(ciphertext[start : start + _RECORD], plaintext)
        except TLSError as exc:
            self.failure = exc
        except SSL.Error as exc:
            self.failure = self._error_of(exc)
            self.failure.__cause__ = exc
        if self.failure is not None and not plaintext:
            raise self.failure
        return plaintext[0] if len(plaintext) == 1 else b"".join(plaintext)

    def send(self, plaintext: bytes | memoryview) -> None:
        """Encrypt data for the peer; only after the handshake is done.

        Raises:
            TLSError: the connection has failed.
        """
        view = memoryview(plaintext)
        self._is_quiet = False
        try:
            if len(view) <= _RECORD:
                self._connection.sendall(view)
                return
            for start in range(0, len(view), _RECORD):
                self._connection.sendall(view[start : start + _RECORD])
                self._collect()
        except SSL.Error as exc:
            raise self._error_of(exc) from exc

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the peer now, and forget them."""
        if not self._is_quiet:
            self._collect()
        if len(self._sealed) == 1:
            return self._sealed.pop()
        data = b"".join(self._sealed)
        self._sealed.clear()
        return data

    def close(self) -> None:
        """Tell the peer that no data follows (close_notify)."""
        if self.is_open and not self._is_closed:
            self._is_closed = True
            self._is_quiet = False
            with suppress(SSL.Error):
                self._connection.shutdown()

    def ended(self) -> None:
        """Let the session be resumed after a cut: OpenSSL forbids that if nothing was closed."""
        if self.is_open and not self.is_server and self.failure is None:
            self._connection.set_shutdown(SSL.SENT_SHUTDOWN)

    def shrink(self) -> None:
        """Exchange OpenSSL's buffers, once the handshake is done; unread bytes move along."""
        if self.is_open:
            renew_bios(self._connection)

    def _take(self, piece: bytes | memoryview, plaintext: list[bytes]) -> None:
        ended = self._records.feed(piece)
        was_quiet, self._is_quiet = self._is_quiet, False
        was_open = self.is_open
        if not was_open:
            was_quiet = False
            self._look_at_start(piece)
        self._connection.bio_write(piece)
        if not was_open and not self._shake_hands():
            return
        # Each record of data is read on its own. If other records are among them, there is less to
        # read, and there may be bytes for the peer. Avoiding needless calls, here and for encrypted
        # bytes, leaves 0.88 of the instructions of one call at a time over TLS.
        try:
            for _ in range(ended):
                plaintext.append(self._connection.recv(_RECORD))
            self._is_quiet = was_quiet
        except SSL.WantReadError:
            if was_open and self._resumption is not None:
                # A record without data: most likely a ticket. The first one is enough.
                self._resumption.keep(self._connection, is_resumed=self.is_resumed)
                self._resumption = None
        except SSL.ZeroReturnError:
            self.peer_closed = True

    def _look_at_start(self, piece: bytes | memoryview) -> None:
        if len(self._head) < 11:
            self._head += bytes(piece[:11])
        if self._head[0] not in (_ALERT_RECORD, _HANDSHAKE_RECORD):
            raise TLSError(f"{self._peer} is not speaking TLS")
        self._fed += len(piece)

    def _shake_hands(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            if self._fed > MAX_HANDSHAKE:
                raise TLSError(f"{self._peer} sent {MAX_HANDSHAKE} bytes of handshake") from None
            return False
        except SSL.Error:
            raise
        except Exception as exc:
            # A callback of the context raised.
            raise TLSError(f"the TLS context raised {type(exc).__name__}") from exc
        self._accept_peer()
        self.is_open = True
        self._head = b""
        return True

    def _accept_peer(self) -> None:
        """Check the certificate if the context's callback has not: it may be the application's."""
        verifier = self._verifier
        if verifier.is_accepted or (verifier.host is None and verifier.pin is None):
            return
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or not verifier.check(certificate, 0, 0):
            raise verifier.error() or TLSError(f"{self._peer} has shown no certificate")
        if self._resumption is not None:
            # Our context verifies each certificate that comes, so none has come: this is resumed.
            self._resumed_chain = self._resumption.chain_of(certificate)
            if self._resumed_chain is None:
                raise TLSError(f"{self._peer} has resumed a session that was not offered")

    def _collect(self) -> None:
        data = b""
        try:
            # Reading an empty BIO costs an exception; a short read shows that it is empty.
            while len(data) in (0, _SEALED_RECORD):
                data = self._connection.bio_read(_SEALED_RECORD)
                self._sealed.append(data)
        except SSL.WantReadError:
            pass
        self._is_quiet = True

    @property
    def _peer(self) -> str:
        return "peer" if self.is_server else "server"

    def _error_of(self, exc: SSL.Error) -> TLSError:
        return self._verifier.error() or TLSError(self._in_words(exc))

    def _in_words(self, exc: SSL.Error) -> str:
        reason = _reason(exc)
        alert = re.search(r"\balert (.+)", reason)
        if alert is not None:
            return self._alert_in_words(alert[1])
        if self.is_open or "bad record mac" in reason:
            return "TLS record corrupted"
        if reason in ("unsupported protocol", "wrong ssl version", "version too low"):
            return self._version_in_words()
        # OpenSSL 3.5.0 to 3.5.5 reports some bytes as a failure of the record layer.
        no_tls = ("wrong version number", "http request", "https proxy request")
        if reason in (*no_tls, "record layer failure"):
            return f"{self._peer} is not speaking TLS"
        if reason == "peer did not return a certificate":
            return "client has shown no certificate"
        if reason == "no shared cipher":
            return "peer offers no cipher that is safe"
        return f"TLS handshake failed: {reason}"

    def _alert_in_words(self, alert: str) -> str:
        # TLS 1.2 has no alert for this case. A server that refuses this client after its own
        # certificate was accepted requires a client certificate.
        is_12_way = alert == "handshake failure" and self._verifier.is_accepted
        if not self.is_server and (alert == "certificate required" or is_12_way):
            return "server requires a client certificate"
        if alert == "protocol version":
            return self._version_in_words()
        return f"{self._peer} refused the connection (TLS alert: {alert})"

    def _version_in_words(self) -> str:
        # The version is in the hello, or in the header of an alert.
        is_hello = self._head[:1] == bytes([_HANDSHAKE_RECORD])
        version = self._head[9:11] if is_hello else self._head[1:3]
        if version in _OLD_VERSIONS:
            return f"peer offers only {_OLD_VERSIONS[version]}"
        return "peer offers neither TLS 1.2 nor TLS 1.3"


def _reason(exc: SSL.Error) -> str:
    """Return OpenSSL's own text: the last of ``[(library, function, reason), …]``."""
    try:
        return str(exc.args[0][-1][2])
    except (IndexError, TypeError):
        return "unexpected end" if isinstance(exc, SSL.SysCallError) else "unknown error"
