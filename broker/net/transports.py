"""One stream connection on asyncio: bytes between a source and a protocol.

Theory of operation. A `StreamTransport` is a protocol of asyncio, which gets bytes from its source:
a `broker.net.socket_source.SocketSource`, the transport of a loop other than asyncio's default, or
a `broker.net.pipes.transport.PipePair`. It is also a transport as Twisted defines it: it gives
bytes to a protocol object with the published methods. With filters, a `FilteredSource` stands
between the source and the stream; see there. Without, the way of the bytes has no other object on
it. The states of a stream have this order, and none is entered twice:

- *connected*: the protocol has had ``makeConnection``.
- *disconnecting*: ``loseConnection`` was called. No more data is delivered. Bytes that are written
  already, and those that a registered producer still writes, are sent first.
- *closing*: writes of the protocol are dropped. The connection closes when the kernel has taken all
  bytes; after `leave`, when the peer has closed too. A peer that reads nothing for `STALL` seconds
  is disconnected.
- *reported*: the protocol has had ``connectionLost``, its last call.

A peer that closes its half starts *closing* too: half-open connections are not kept.

Incoming bytes are read into one buffer per thread and copied out at once. asyncio's plain
``Protocol`` maps and unmaps 256 KiB for each read, at twice the cost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.failure import Failure
from broker.native import native
from broker.net import forks
from broker.net.filtered_source import FilteredSource
from broker.net.filters import Filter, FilterError, Source
from broker.net.log_throttle import LogThrottle
from broker.net.producers import Producer, ProducerSlot
from broker.net.read_buffer import own_buffer, scratch
from broker.net.scheduler import Cancellable, LoopScheduler, scheduler_of
from broker.net.socket_addresses import Address, is_local
from broker.net.socket_options import SocketOptions
from broker.net.stream_base import StreamBase
from broker.net.transport_port import LINGER_SIZE, LINGER_TIME, TransportPort

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["HIGH_WATER", "STALL", "MakeProtocol", "StreamProtocol", "StreamTransport"]

HIGH_WATER = 64 * 1024
"""Unsent bytes above which a push producer is paused; it is resumed below a quarter of them."""

STALL = 30.0
"""Seconds without progress after which a closing connection is aborted."""

_logger = logging.getLogger("broker.net")


class StreamProtocol(Protocol):
    """The receiver of a transport's data: a protocol object with the published methods."""

    def makeConnection(self, transport: Any) -> object:
        """Use the transport: the connection is made, and may be written to."""

    def dataReceived(self, data: bytes) -> object:
        """Take incoming bytes, in order."""

    def connectionLost(self, reason: Failure) -> object:
        """Handle the end of the connection; ``reason.value`` is the error."""


MakeProtocol = Callable[[Address], StreamProtocol | None]


def _make_none(address: Address) -> None:
    """Make no protocol."""


class StreamTransport(StreamBase, SocketOptions, TransportPort, asyncio.BufferedProtocol):
    """A stream connection, as its protocol sees it.

    Args:
        make_protocol: called with the peer's address; returns the protocol, or None to refuse the
            connection, which is then closed at once.
        loop: the event loop that the connection runs in.
        log_throttle: limits the log records about this connection, together with others; default a
            new one.
        filters: the filters between the source and the protocol, in order from the wire; such as
            a `broker.net.tls.filter.TLSFilter`.
        handshake_timeout: seconds until all filters are open.
        close_timeout: seconds for the peer to answer the close of a filter of this end.

    Attributes:
        scheduler: the scheduler of the loop.
        connected: True between ``makeConnection`` and ``connectionLost``.
        disconnecting: ``loseConnection`` was called, or the connection is closing by itself.
        has_ended: the socket is closed.
        is_closing: further writes are dropped, because the connection closes.
        on_drained: called without arguments when the unsent bytes have fallen below the low water
            mark after they were above `HIGH_WATER`; or None.
        sessionno: number of connections that its port had accepted before. Only the ports of
            ``broker.reactor`` set this attribute.
        reads_ahead: read four slices at once; see `broker.net.read_buffer`.
        protocol: the receiver of the data. None before the connection is made, and if it was
            refused.
    """

    __slots__ = (
        "__weakref__",
        "_dropped",
        "_ended",
        "_filtered",
        "_host",
        "_is_reported",
        "_lingers",
        "_log_throttle",
        "_loop",
        "_make_protocol",
        "_own_buffer",
        "_peer",
        "_producers",
        "_reason",
        "_source",
        "_timer",
        "connected",
        "disconnecting",
        "has_ended",
        "is_closing",
        "on_drained",
        "protocol",
        "reads_ahead",
        "scheduler",
        "sessionno",
    )

    scheduler: LoopScheduler
    is_closing: bool
    reads_ahead: bool
    on_drained: Callable[[], object] | None
    sessionno: int
    is_unsent_exact = True

    def __init__(
        self,
        make_protocol: MakeProtocol,
        loop: asyncio.AbstractEventLoop,
        log_throttle: LogThrottle | None = None,
        *,
        filters: Sequence[Filter] = (),
        handshake_timeout: float = 10.0,
        close_timeout: float = 5.0,
    ):
        self.scheduler = scheduler_of(loop)
        self._log_throttle = log_throttle
        self.connected = False
        self.disconnecting = False
        self.has_ended = False
        self.on_drained = None
        self._loop = loop
        self._make_protocol = make_protocol
        self._source: Source
        self._filtered: FilteredSource | None = None
        if filters:
            self._filtered = FilteredSource(
                self,
                loop,
                filters,
                handshake_timeout=handshake_timeout,
                close_timeout=close_timeout,
            )
        self.protocol: StreamProtocol | None = None
        self._host: Address | None = None
        self._own_buffer = own_buffer()
        self.reads_ahead = False
        # Made when it is first needed; most connections never need it.
        self._producers: ProducerSlot | None = None
        self._timer: Cancellable | None = None
        self._reason: Exception | None = None
        self.is_closing = False
        self._is_reported = False
        self._lingers = False
        self._dropped = 0
        # What `wait_ended` waits for.
        self._ended: asyncio.Future[None] | None = None

    # Called by the protocol.

    def getHost(self) -> Address:
        """Return the address of this end (published)."""
        if self._host is None:
            # Read when it is first needed: most connections never need it.
            self._host = self._address("sockname")
        return self._host

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._source.get_write_buffer_size()

    @property
    def most_unsent(self) -> int:
        """The same: `unsent` is exact."""
        return self.unsent

    @property
    def is_reading(self) -> bool:
        """Whether data of the peer is read and delivered."""
        return not self.disconnecting and self._source.is_reading()

    @property
    def peer_address(self) -> Address:
        """The address of the other end."""
        return self._peer

    @property
    def proxy_address(self) -> Address | None:
        """The address of the trusted proxy that the connection came through; None if direct."""
        proxy: Address | None = None if self._filtered is None else self._filtered.proxy_address
        return proxy

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted, and the peer is accepted."""
        filtered = self._filtered
        return filtered is not None and filtered.is_open and filtered.is_encrypted

    @property
    def handshake(self) -> str:
        """The name of the handshake that is not done, such as ``"TLS"``; empty if all are."""
        return "" if self._filtered is None else self._filtered.handshake

    @property
    def is_private(self) -> bool:
        """Whether a third party cannot read the connection: it is encrypted, or local."""
        filtered = self._filtered
        return is_local(self._peer) if filtered is None else filtered.is_private(self._peer)

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when all filters are open, before data is delivered, or now."""
        if self._filtered is None or self._filtered.is_open:
            callback()
        else:
            self._filtered.on_open = callback

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate of the peer; None if it has sent none yet."""
        return None if self._filtered is None else self._filtered.peer_certificate

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return the chain by which the peer's certificate was verified; empty if it was not."""
        return () if self._filtered is None else self._filtered.verified_chain()

    def channel_binding(self) -> bytes | None:
        """Return 32 bytes that only the ends of this TLS connection know (RFC 9266), or None."""
        return None if self._filtered is None else self._filtered.channel_binding()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Join the pieces, and send them as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the connection in good order, once all written bytes are sent.

        A registered producer may write until it is unregistered.
        """
        self.disconnecting = True
        self.close_if_done()

    def leave(self, *, at_once: bool = False) -> None:
        """Close the connection so that the peer can read all that was written.

        See `TransportPort.leave`.
        """
        is_open = self._filtered is None or self._filtered.is_open
        if at_once and (self.is_closing or not is_open):
            self.abortConnection()
            return
        self._lingers = True
        if at_once:
            self.close_for(ConnectionAborted())
            self._set_timer(LINGER_TIME, self._source.abort)
        else:
            self.loseConnection()

    def abortConnection(self) -> None:
        """Cut the connection now; unsent bytes are lost, and the peer sees a reset."""
        self.cut_for(ConnectionAborted())

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let ``producer`` write to this transport (published: IPushProducer, IPullProducer).

        Raises:
            RuntimeError: a producer is registered already.
        """
        if self.is_closing:
            producer.stopProducing()
            return
        producers = self._producers = self._producers or ProducerSlot(self)
        producers.register(producer, is_push=streaming)
        if not streaming:
            self._source.set_write_buffer_limits(high=0)
        elif self.unsent > HIGH_WATER:
            producers.pause()

    def unregisterProducer(self) -> None:
        """Forget the producer, and close now if ``loseConnection`` waited for it."""
        if self._producers is not None:
            self._producers.unregister()
        if not self.is_closing:
            self._source.set_write_buffer_limits(high=HIGH_WATER)
            self.close_if_done()

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`; until then the peer's end is not noticed."""
        if not self.is_closing:
            self._source.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self.is_closing:
            self._source.resume_reading()

    def pauseProducing(self) -> None:
        """Deliver no data until ``resumeProducing`` (published)."""
        self.pause_reading()

    def resumeProducing(self) -> None:
        """Deliver again (published)."""
        self.resume_reading()

    def stopProducing(self) -> None:
        """Close the connection, as ``loseConnection`` does."""
        self.loseConnection()

    async def wait_secured(self) -> None:
        """Wait until all filters are open, and so the peer is accepted.

        Raises:
            TLSError: the TLS handshake failed; other filters raise other errors.
            ConnectionLost, ConnectionDone: the connection has ended for another reason.
        """
        if self._filtered is not None:
            if self._reason is not None:
                raise self._reason
            await self._filtered.wait_open()

    async def wait_ended(self, seconds: float) -> None:
        """Wait until the socket is closed; close it if that takes more than so many seconds."""
        if self.has_ended:
            return
        self._ended = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._source.abort)
        try:
            await self._ended
        except asyncio.CancelledError:
            self._source.abort()
            raise
        finally:
            timer.cancel()

    @property
    def receiver(self) -> StreamTransport | FilteredSource:
        """The object that the source, as asyncio's transport, has as its protocol."""
        return self if self._filtered is None else self._filtered

    # Called by the source.

    def connection_made(self, transport: Any) -> None:
        """Make the protocol, and give it the connection."""
        self._source = transport
        self._source.set_write_buffer_limits(high=HIGH_WATER)
        self._peer = self._address("peername")
        self.connected = True
        forks.watch(self)
        if self._filtered is not None and self._filtered.admits:
            self._filtered.begin(self._peer)
            return
        protocol = self._ask_protocol()
        if protocol is None:
            self._source.abort()
            return
        self.protocol = protocol
        try:
            if self._filtered is not None:
                self._filtered.begin(self._peer)
            protocol.makeConnection(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def data_received(self, data: bytes) -> None:
        """Deliver bytes: of a source that does not use the buffer, such as a pipe, or one slice."""
        if self.disconnecting or self.protocol is None:
            self._drop(len(data))
            return
        try:
            self.protocol.dataReceived(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def eof_received(self) -> bool:
        """Close this half too: the peer has closed its own."""
        self.close_for(ConnectionDone())
        return False

    def pause_writing(self) -> None:
        """Pause the producer: too many bytes are unsent."""
        if self._producers is not None:
            self._producers.pause()

    def resume_writing(self) -> None:
        """Resume the producer and the layer above, soon: few bytes are unsent.

        Not now: asyncio's selector transport reports the end twice if it is closed from here.
        """
        self._loop.call_soon(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end: the socket is closed, or about to be."""
        self.getHost()
        self._shut_down()
        self.has_ended = True
        # Only a source of this library reports ConnectionLost: a command that has failed.
        was_orderly = type(self._reason) is ConnectionDone
        if self._reason is None or (was_orderly and isinstance(exc, ConnectionLost)):
            self._reason = self._what_ended(exc)
        self._stop_timer()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        self._report()

    # Called by the filters.

    def admit(self, address: Address, accept: MakeProtocol | None = None) -> bool:
        """Make the protocol for the client at ``address``; return False if it is refused.

        ``accept`` makes it in place of the function that the transport was given.
        """
        self._peer = address
        if self.disconnecting:
            return False
        if accept is not None:
            self._make_protocol = accept
        protocol = self._ask_protocol()
        if protocol is None:
            return False
        self.protocol = protocol
        try:
            protocol.makeConnection(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)
        return True

    def opened(self, callback: Callable[[], object] | None) -> None:
        """Call the callback of `when_secured`: all filters are open."""
        if callback is None or self.disconnecting:
            return
        try:
            callback()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def close_if_done(self) -> None:
        """Close if `loseConnection` was called, and nothing more can be written."""
        has_producer = self._producers is not None and self._producers.is_taken
        if not self.disconnecting or self.is_closing or has_producer:
            return
        if self._filtered is None or self._filtered.can_close:
            self.close_for(ConnectionDone())

    def close_for(self, reason: Exception) -> None:
        """Send the unsent bytes, then close; ``reason`` is reported later."""
        if self.is_closing:
            return
        self._reason = reason
        self.disconnecting = self.is_closing = True
        if self._lingers:
            self._source.set_write_buffer_limits(high=0)
            self._source.resume_reading()
            self._end_half()
        else:
            self._source.close()
        self._watch_progress()

    def cut_for(self, reason: Exception) -> None:
        """Close without sending the unsent bytes."""
        # If a filter has failed, the connection ends by itself, with the message about that.
        filtered = self._filtered
        if self._is_reported or (filtered is not None and filtered.has_failed):
            return
        self._reason = reason
        self.disconnecting = self.is_closing = True
        self._reset_on_close()
        self._source.abort()

    def fail_for(self, error: FilterError, *, is_logged: bool) -> bool:
        """Report ``error`` soon, and leave the source open; return False if the stream closes."""
        if self.is_closing:
            self.cut_for(self._reason or error)
            return False
        self._reason = error
        self.disconnecting = self.is_closing = True
        if is_logged:
            text = "%s: %s"
            self._throttle().log(_logger, logging.WARNING, self._peer, text, self._peer, error)
        self._loop.call_soon(self._report)
        return True

    # Internal.

    def on_forked(self) -> None:
        """Give back the copy of the socket and take no more writes: this is a child process."""
        self.getHost()
        self._give_back()
        self.connected = False
        self.disconnecting = self.is_closing = self._is_reported = True

    def _ask_protocol(self) -> StreamProtocol | None:
        # Called once. Afterwards its objects are not needed as long as the connection is open.
        make_protocol, self._make_protocol = self._make_protocol, _make_none
        try:
            return make_protocol(self._peer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - it must not end the loop that accepts
            self._log_error("no protocol could be made", exc)
            return None

    def _drained(self) -> None:
        if self.is_closing:
            self._linger()
            return
        # If much has been written since, asyncio calls again.
        if self.unsent > HIGH_WATER:
            return
        if self.on_drained is not None:
            self.on_drained()
        if self._producers is not None:
            self._producers.resume()

    def _end_half(self) -> None:
        try:
            self._source.write_eof()
        except OSError:
            # The peer has cut the connection, which the source reports soon.
            self._source.abort()
        else:
            self._linger()

    def _linger(self) -> None:
        """Wait for the peer to close, if this end has sent all."""
        if self._lingers and not self.has_ended and not self.unsent:
            self._set_timer(LINGER_TIME, self._source.abort)

    def _take_slices(self, nbytes: int) -> None:
        for piece in scratch.slices(nbytes):
            self.data_received(piece)

    def _check_forked(self) -> None:
        forks.check(self)

    def _drop(self, size: int) -> None:
        """Note that bytes of the peer are dropped; after `leave` only so many."""
        self._dropped += size
        if self._lingers and self.is_closing and self._dropped > LINGER_SIZE:
            self._source.abort()

    def _watch_progress(self) -> None:
        if self.unsent:
            self._set_timer(STALL, self._check_progress, self.unsent)

    def _check_progress(self, before: int) -> None:
        if self.unsent >= before:
            self.cut_for(ConnectionLost(f"the peer took nothing for {STALL:g} s"))
        else:
            self._watch_progress()

    def _set_timer(self, delay: float, f: Callable[..., object], *args: object) -> None:
        """Set the only timer of this connection; the timer before is cancelled."""
        self._stop_timer()
        self._timer = self.scheduler.timeout(delay, f, *args)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _protocol_raised(self, exc: BaseException) -> None:
        self._log_error("the protocol raised; connection aborted", exc)
        self.cut_for(ConnectionAborted(f"the protocol raised {type(exc).__name__}"))

    def _log_error(self, text: str, exc: BaseException) -> None:
        self._throttle().log_error(_logger, self._peer, f"{self._peer}: {text}", exc)

    def _throttle(self) -> LogThrottle:
        if self._log_throttle is None:
            self._log_throttle = LogThrottle(self.scheduler)
        return self._log_throttle

    def _report(self) -> None:
        """Tell the protocol, once, that the connection has ended, and why."""
        self.connected = False
        self.disconnecting = self.is_closing = True
        if not self._is_reported and self.protocol is not None:
            self._is_reported = True
            self._report_to(self.protocol)
        if self._filtered is not None:
            self._filtered.reported(self._reason or ConnectionDone())

    def _report_to(self, protocol: StreamProtocol) -> None:
        try:
            if self._producers is not None:
                self._producers.stop()
            protocol.connectionLost(Failure(self._reason or ConnectionDone()))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - only the log is left to tell
            self._log_error("connectionLost raised", exc)


if native is not None:
    native.use_classes(stream=StreamTransport)
