"""One stream connection through TLS.

Theory of operation
===================

To the states of `StreamTransport` this adds one at the start and one at the end.

*Handshake.* The protocol has its transport as soon as TCP is connected. Its writes are kept until
the peer is accepted, and no data is delivered before. The handshake may take ``handshake_timeout``
seconds.

*Close.* close_notify follows the last byte. When all of it has left, the peer has ``close_timeout``
seconds to answer with its own. A peer that ends TCP without close_notify may be an attacker who
cuts the conversation short. This is an error unless this end has sent close_notify already.

When TLS fails at this end, the peer must learn the reason. The alert is written and our half of the
TCP connection closed. Incoming bytes are read and dropped until the peer closes too. Closing at
once would send a reset, which can overtake the alert. The protocol does not wait for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from cryptography import x509
from OpenSSL import crypto

from broker.errors import ConnectionDone, ConnectionLost, TLSError
from broker.limit_errors import limit_error
from broker.net import forks
from broker.net.log_throttle import LogThrottle
from broker.net.tls.filter import TLSFilter
from broker.net.transports import HIGH_WATER, MakeProtocol, StreamTransport

__all__ = ["SecureTransport"]

_logger = logging.getLogger("broker.net")


class SecureTransport(StreamTransport):
    """A stream connection through TLS, as its protocol sees it.

    Args:
        make_protocol, loop: as for `StreamTransport`.
        tls_filter: encrypts and decrypts.
        handshake_timeout: seconds for the TLS handshake.
        close_timeout: seconds for the peer to answer the TLS close of this end.
        log_throttle: limits the log records, see `StreamTransport`; a server logs failed
            handshakes.
    """

    __slots__ = (
        "_close_timeout",
        "_filter",
        "_handshake_timeout",
        "_has_failed",
        "_is_paused",
        "_on_secured",
        "_pending",
        "_undelivered",
        "_waiter",
    )

    def __init__(
        self,
        make_protocol: MakeProtocol,
        loop: asyncio.AbstractEventLoop,
        tls_filter: TLSFilter,
        *,
        handshake_timeout: float = 10.0,
        close_timeout: float = 5.0,
        log_throttle: LogThrottle | None = None,
    ):
        super().__init__(make_protocol, loop, log_throttle)
        self._filter = tls_filter
        self._handshake_timeout = handshake_timeout
        self._close_timeout = close_timeout
        self._pending = b""
        self._undelivered = b""
        self._waiter: asyncio.Future[None] | None = None
        self._is_paused = False
        self._has_failed = False
        self._on_secured: Callable[[], object] | None = None

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return len(self._pending) + self._transport.get_write_buffer_size()

    @property
    def is_reading(self) -> bool:
        """Whether data of the peer is read and delivered."""
        return not self.disconnecting and not self._is_paused

    def write(self, data: bytes) -> None:
        """Send ``data`` after earlier writes; drop it once the connection closes.

        Raises:
            TypeError: ``data`` is not bytes.
            RuntimeError: this process was forked after the connection was made.
        """
        if self._is_closing:
            forks.check(self)
            return
        if self.is_secure:
            self._encrypt(data)
            return
        self._pending += data
        if len(self._pending) > HIGH_WATER:
            self._producers.pause()

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`; until then the peer's end is not noticed."""
        self._is_paused = True
        if self.is_secure:
            super().pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._is_paused = False
        super().resume_reading()
        if self._undelivered:
            self._loop.call_soon(self._deliver, b"")

    @property
    def is_private(self) -> bool:
        """True: a third party cannot read the connection."""
        return True

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when the handshake has finished, before data is delivered."""
        if self.is_secure:
            callback()
        else:
            self._on_secured = callback

    def getPeerCertificate(self) -> crypto.X509 | None:
        """Return the peer's certificate as a pyOpenSSL object; None if it has sent none yet."""
        certificate = self.peer_certificate
        return None if certificate is None else crypto.X509.from_cryptography(certificate)

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return the chain by which the peer's certificate was verified; empty if it was not."""
        return () if self._filter is None else self._filter.verified_chain

    def channel_binding(self) -> bytes | None:
        """Return 32 bytes that only the ends of this TLS connection know (RFC 9266), or None."""
        return None if self._filter is None else self._filter.channel_binding()

    async def wait_secured(self) -> None:
        """Wait until the handshake has finished and the peer is accepted.

        Raises:
            TLSError: the handshake failed.
            ConnectionLost, ConnectionDone: the connection has ended for another reason.
        """
        if self._reason is not None:
            raise self._reason
        if not self.is_secure:
            self._waiter = self._waiter or self._loop.create_future()
            await asyncio.shield(self._waiter)

    # Called by asyncio.

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt what was read into the buffer."""
        if self._has_failed:
            return
        try:
            plaintext = self._filter.receive(self.get_buffer(nbytes)[:nbytes])
        except TLSError as exc:
            self._fail(exc)
            return
        self._send_sealed()
        if not self.is_secure and self._filter.handshake_done:
            self._handshake_finished()
        if plaintext:
            self._deliver(plaintext)
        if self._filter.failure is not None:
            self._fail(self._filter.failure)
        elif self._filter.peer_closed:
            self._peer_closed()

    def eof_received(self) -> bool:
        """Close this half too; without close_notify before it, this is an error."""
        if not self._is_closing:
            self._cut(
                ConnectionLost("connection cut (no TLS close)")
                if self.is_secure
                else TLSError("the peer closed the connection during the TLS handshake")
            )
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, and free the memory of OpenSSL and the buffers."""
        super().connection_lost(exc)
        self._filter = cast(TLSFilter, None)
        self._pending = self._undelivered = b""

    # Internal.

    def _drained(self) -> None:
        super()._drained()
        if self.connected and self._is_closing and not self._has_failed:
            self._watch_progress()

    def _begin(self) -> None:
        self._set_timer(self._handshake_timeout, self._handshake_is_late)
        self._send_sealed()

    def _encrypt(self, data: bytes) -> None:
        try:
            self._filter.send(data)
        except TLSError as exc:
            self._fail(exc)
        else:
            self._send_sealed()

    def _send_sealed(self) -> None:
        sealed = self._filter.data_to_send()
        if sealed:
            self._transport.write(sealed)

    def _deliver(self, data: bytes) -> None:
        if self._is_paused:
            self._undelivered += data
            return
        if self._undelivered:
            data, self._undelivered = self._undelivered + data, b""
        if data:
            super()._deliver(data)

    def _handshake_is_late(self) -> None:
        self._fail(limit_error(TLSError, "handshake_timeout", self._handshake_timeout))

    def _handshake_finished(self) -> None:
        self._stop_timer()
        self.is_secure = True
        self.peer_certificate = self._filter.peer_certificate
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._is_paused:
            super().pause_reading()
        self._tell_secured()
        pending, self._pending = self._pending, b""
        if pending:
            self._encrypt(pending)
        if len(pending) > HIGH_WATER >= self.unsent:
            self._drained()
        elif pending and not self.unsent:
            # The kernel took all of it at once: asyncio will not call ``resume_writing``.
            self._producers.resume()
        self._close_if_done()

    def _tell_secured(self) -> None:
        on_secured, self._on_secured = self._on_secured, None
        if on_secured is None or self.disconnecting:
            return
        try:
            on_secured()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def _close_if_done(self) -> None:
        if self.is_secure or not self._pending:
            super()._close_if_done()

    def _close_output(self) -> None:
        self._filter.close()
        self._send_sealed()
        if not self.is_secure or self._filter.peer_closed:
            self._transport.close()
            return
        # asyncio calls when the last byte has left. Read on, to see the peer's close.
        self._transport.set_write_buffer_limits(high=0)
        self._transport.resume_reading()

    def _watch_progress(self) -> None:
        super()._watch_progress()
        if not self.unsent:
            reason = limit_error(ConnectionLost, "close_timeout", self._close_timeout)
            self._set_timer(self._close_timeout, self._cut, reason)

    def _peer_closed(self) -> None:
        if self._is_closing:
            self._transport.close()
        else:
            self._close(ConnectionDone())

    def _cut(self, reason: Exception) -> None:
        # A connection that has failed ends by itself, with its alert.
        if not self._has_failed:
            super()._cut(reason)

    def _fail(self, error: TLSError) -> None:
        """End the connection for ``error``, and send the peer an alert if there is one."""
        if self._is_closing:
            self._cut(self._reason or error)
            return
        self._reason = error
        self.disconnecting = self._is_closing = self._has_failed = True
        if self._filter.is_server:
            self._log_throttle.log(
                _logger, logging.WARNING, self._peer, "%s: %s", self._peer, error
            )
        self._loop.call_soon(self._report)
        alert = self._filter.data_to_send()
        if not alert:
            self._transport.abort()
            return
        self._transport.write(alert)
        self._transport.write_eof()
        self._transport.resume_reading()
        self._set_timer(self._close_timeout, self._transport.abort)

    def _what_ended(self, exc: Exception | None) -> Exception:
        if exc is not None and not self.is_secure:
            return TLSError("the peer cut the connection during the TLS handshake")
        return super()._what_ended(exc)

    def _report(self) -> None:
        self._undelivered = b""
        super()._report()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._reason or ConnectionDone())
            # The waiting caller may have been cancelled. This marks the exception as retrieved.
            self._waiter.exception()
