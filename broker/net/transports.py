"""One stream connection on asyncio: bytes between a socket and a protocol.

Theory of operation. A `StreamTransport` is a protocol of asyncio, which gets bytes from asyncio. It
is also a transport as Twisted defines it: it gives bytes to a protocol object with the published
methods. Its states have this order, and none is entered twice:

- *connected*: the protocol has had ``makeConnection``.
- *disconnecting*: ``loseConnection`` was called. No more data is delivered. Bytes that are written
  already, and those that a registered producer still writes, are sent first.
- *closing*: writes of the protocol are dropped. The connection closes when the kernel has taken all
  bytes. A peer that reads nothing for `STALL` seconds is disconnected.
- *reported*: the protocol has had ``connectionLost``, its last call.

A peer that closes its half starts *closing* too: half-open connections are not kept.

Incoming bytes are read into one buffer per thread and copied out at once, so an idle connection
does not own a buffer. asyncio's plain ``Protocol`` maps and unmaps 256 KiB for each read, at twice
the cost.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from cryptography import x509

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.failure import Failure
from broker.net import forks
from broker.net.log_throttle import LogThrottle
from broker.net.producers import Producer, ProducerSlot
from broker.net.scheduler import LoopScheduler
from broker.net.socket_addresses import Address, address_of, is_local
from broker.net.socket_options import SocketOptions
from broker.net.transport_port import TransportPort

__all__ = ["HIGH_WATER", "STALL", "MakeProtocol", "StreamProtocol", "StreamTransport"]

HIGH_WATER = 64 * 1024
"""Unsent bytes above which a push producer is paused; it is resumed below a quarter of them."""

STALL = 30.0
"""Seconds without progress after which a closing connection is aborted."""

# With 80 KiB, a call with 64 KiB is read at once and takes 0.88 of the processor time. But several
# calls at a time, and pages, take up to 1.2 times as long, with a process at each end.
_BUFFER_SIZE = 64 * 1024

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


class _Scratch(threading.local):
    """One receive buffer per thread: a loop fills and empties it before any other event."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_BUFFER_SIZE))


_scratch = _Scratch()


class StreamTransport(SocketOptions, TransportPort, asyncio.BufferedProtocol):
    """A stream connection, as its protocol sees it.

    Args:
        make_protocol: called with the peer's address; returns the protocol, or None to refuse the
            connection, which is then closed at once.
        loop: the event loop that the connection runs in.
        log_throttle: limits the log records about this connection, together with others; default a
            new one.

    Attributes:
        scheduler: the scheduler of the loop.
        connected: True between ``makeConnection`` and ``connectionLost``.
        disconnecting: ``loseConnection`` was called, or the connection is closing by itself.
        has_ended: the socket is closed.
        on_drained: called without arguments when the unsent bytes have fallen below the low water
            mark after they were above `HIGH_WATER`; or None.
        is_secure: whether the connection is encrypted and the peer accepted.
        peer_certificate: the certificate of the peer, or None.
        sessionno: number of connections that its port had accepted before. Only the ports of
            ``broker.reactor`` set this attribute.
        protocol: the receiver of the data. None before the connection is made, and if it was
            refused.
    """

    __slots__ = (
        "__weakref__",
        "_host",
        "_is_closing",
        "_is_reported",
        "_log_throttle",
        "_loop",
        "_make_protocol",
        "_own_buffer",
        "_peer",
        "_producers",
        "_reason",
        "_timer",
        "_transport",
        "connected",
        "disconnecting",
        "has_ended",
        "is_secure",
        "on_drained",
        "peer_certificate",
        "protocol",
        "scheduler",
        "sessionno",
    )

    scheduler: LoopScheduler
    on_drained: Callable[[], object] | None
    is_secure: bool
    peer_certificate: x509.Certificate | None
    sessionno: int
    is_unsent_exact = True

    def __init__(
        self,
        make_protocol: MakeProtocol,
        loop: asyncio.AbstractEventLoop,
        log_throttle: LogThrottle | None = None,
    ):
        self.scheduler = LoopScheduler(loop)
        self._log_throttle = log_throttle or LogThrottle(self.scheduler)
        self.connected = False
        self.disconnecting = False
        self.has_ended = False
        self.on_drained = None
        self.is_secure = False
        self.peer_certificate = None
        self._loop = loop
        self._make_protocol = make_protocol
        self._transport = cast(asyncio.Transport, None)
        self.protocol: StreamProtocol | None = None
        # A proactor loop gives the buffer to the kernel before there is data to read.
        is_proactor = sys.platform == "win32"
        self._own_buffer = memoryview(bytearray(_BUFFER_SIZE)) if is_proactor else None
        self._producers = ProducerSlot(self)
        self._timer: asyncio.TimerHandle | None = None
        self._reason: Exception | None = None
        self._is_closing = False
        self._is_reported = False

    # Called by the protocol.

    @property
    def unsent(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def most_unsent(self) -> int:
        """The same: `unsent` is exact."""
        return self.unsent

    @property
    def is_reading(self) -> bool:
        """Whether data of the peer is read and delivered."""
        return not self.disconnecting and self._transport.is_reading()

    @property
    def is_closing(self) -> bool:
        """Whether further writes are dropped, because the connection closes."""
        return self._is_closing

    @property
    def peer_address(self) -> Address:
        """The address of the other end."""
        return self._peer

    @property
    def is_private(self) -> bool:
        """Whether a third party cannot read the connection; it is local if there is no TLS."""
        return is_local(self._peer)

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` now: there is no handshake without TLS."""
        callback()

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return an empty chain: there are no certificates without TLS."""
        return ()

    def channel_binding(self) -> bytes | None:
        """Return None: there is no channel binding without TLS."""
        return None

    def write(self, data: bytes) -> None:
        """Send ``data`` after earlier writes; drop it once the connection closes.

        Raises:
            TypeError: ``data`` is not bytes.
            RuntimeError: this process was forked after the connection was made.
        """
        if not self._is_closing:
            self._transport.write(data)
        else:
            forks.check(self)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Join the pieces, and send them as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close the connection in good order, once all written bytes are sent.

        A registered producer may write until it is unregistered.
        """
        self.disconnecting = True
        self._close_if_done()

    def abortConnection(self) -> None:
        """Cut the connection now; unsent bytes are lost, and the peer sees a reset."""
        self._cut(ConnectionAborted())

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let ``producer`` write to this transport (published: IPushProducer, IPullProducer).

        Raises:
            RuntimeError: a producer is registered already.
        """
        if self._is_closing:
            producer.stopProducing()
            return
        self._producers.register(producer, is_push=streaming)
        if not streaming:
            self._transport.set_write_buffer_limits(high=0)
        elif self.unsent > HIGH_WATER:
            self._producers.pause()

    def unregisterProducer(self) -> None:
        """Forget the producer, and close now if ``loseConnection`` waited for it."""
        self._producers.unregister()
        if not self._is_closing:
            self._transport.set_write_buffer_limits(high=HIGH_WATER)
            self._close_if_done()

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`; until then the peer's end is not noticed."""
        if not self._is_closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self._is_closing:
            self._transport.resume_reading()

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
        """Return at once: there is no handshake without TLS."""

    # Called by asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the protocol, and give it the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._note_addresses()
        self.connected = True
        forks.watch(self)
        protocol = self._ask_protocol()
        if protocol is None:
            self._transport.abort()
            return
        self.protocol = protocol
        try:
            self._begin()
            protocol.makeConnection(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer of this thread."""
        return self._own_buffer or _scratch.view

    def buffer_updated(self, nbytes: int) -> None:
        """Deliver the bytes that were read into the buffer."""
        if self.disconnecting or self.protocol is None:
            return
        view = self._own_buffer or _scratch.view
        try:
            self.protocol.dataReceived(bytes(view[:nbytes]))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def eof_received(self) -> bool:
        """Close this half too: the peer has closed its own."""
        self._close(ConnectionDone())
        return False

    def pause_writing(self) -> None:
        """Pause the producer: too many bytes are unsent."""
        self._producers.pause()

    def resume_writing(self) -> None:
        """Resume the producer and the layer above, soon: few bytes are unsent.

        Not now: asyncio's selector transport reports the end twice if it is closed from here.
        """
        self._loop.call_soon(self._drained)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end: the socket is closed, or about to be."""
        self._shut_down()
        self.has_ended = True
        if self._reason is None:
            self._reason = self._what_ended(exc)
        self._stop_timer()
        self._report()

    # Internal.

    def on_forked(self) -> None:
        """Give back the copy of the socket and take no more writes: this is a child process."""
        self._give_back()
        self.connected = False
        self.disconnecting = self._is_closing = self._is_reported = True

    def _note_addresses(self) -> None:
        family = self._transport.get_extra_info("socket").family
        self._peer = address_of(family, self._transport.get_extra_info("peername"))
        self._host = address_of(family, self._transport.get_extra_info("sockname"))

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

    def _begin(self) -> None:
        """Prepare the connection, before ``makeConnection`` of the protocol."""

    def _deliver(self, data: bytes) -> None:
        if self.disconnecting or self.protocol is None:
            return
        try:
            self.protocol.dataReceived(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - one connection's protocol must not harm another's
            self._protocol_raised(exc)

    def _drained(self) -> None:
        # If much has been written since, asyncio calls again.
        if self._is_closing or self.unsent > HIGH_WATER:
            return
        if self.on_drained is not None:
            self.on_drained()
        self._producers.resume()

    def _close_if_done(self) -> None:
        if self.disconnecting and not self._is_closing and not self._producers.is_taken:
            self._close(ConnectionDone())

    def _close(self, reason: Exception) -> None:
        """Send the unsent bytes, then close; ``reason`` is reported later."""
        if self._is_closing:
            return
        self._reason = reason
        self.disconnecting = self._is_closing = True
        self._close_output()
        self._watch_progress()

    def _close_output(self) -> None:
        self._transport.close()

    def _cut(self, reason: Exception) -> None:
        """Close without sending the unsent bytes."""
        if self._is_reported:
            return
        self._reason = reason
        self.disconnecting = self._is_closing = True
        self._reset_on_close()
        self._transport.abort()

    def _watch_progress(self) -> None:
        if self.unsent:
            self._set_timer(STALL, self._check_progress, self.unsent)

    def _check_progress(self, before: int) -> None:
        if self.unsent >= before:
            self._cut(ConnectionLost(f"the peer took nothing for {STALL:g} s"))
        else:
            self._watch_progress()

    def _set_timer(self, delay: float, f: Callable[..., object], *args: Any) -> None:
        """Set the only timer of this connection; the timer before is cancelled."""
        self._stop_timer()
        self._timer = self._loop.call_later(delay, f, *args)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _protocol_raised(self, exc: BaseException) -> None:
        self._log_error("the protocol raised; connection aborted", exc)
        self._cut(ConnectionAborted(f"the protocol raised {type(exc).__name__}"))

    def _log_error(self, text: str, exc: BaseException) -> None:
        self._log_throttle.log_error(_logger, self._peer, f"{self._peer}: {text}", exc)

    def _report(self) -> None:
        """Tell the protocol, once, that the connection has ended, and why."""
        self.connected = False
        self.disconnecting = self._is_closing = True
        if self._is_reported or self.protocol is None:
            return
        self._is_reported = True
        try:
            self._producers.stop()
            self.protocol.connectionLost(Failure(self._reason or ConnectionDone()))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - only the log is left to tell
            self._log_error("connectionLost raised", exc)
