"""A source whose bytes pass through filters, such as TLS, to a stream.

Theory of operation
===================

A `FilteredSource` is a source for the stream above, and a protocol of asyncio for the source below.
Its filters are in order from the wire to the stream.

These rules hold for any filter:

*Handshake.* What the stream writes is kept until all filters are open, and no data is delivered
before. That may take ``handshake_timeout`` seconds.

*Close.* The filters close one after the other, the uppermost first. A filter with a close message
closes after the last byte, and the next one when the peer has answered. When all bytes have left,
the peer has ``close_timeout`` seconds for each answer. A peer that ends the source without such a
message may be an attacker who cuts the conversation short. This is an error unless this end has
closed the filter already.

*Failure.* When a filter fails at this end, the peer must learn the reason. The message about it (an
alert) is written and our half of the source closed. Incoming bytes are read and dropped until the
peer closes too. Closing at once would send a reset, which can overtake the message. The stream does
not wait for that.

*Memory.* The filters free the memory of the handshake when it is done, and that of large pieces
soon after the last one. A timer for that runs only after a large piece, not on an idle connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.limit_errors import limit_error
from broker.net.filters import Filter, FilterError, Route, Source, Stream
from broker.net.read_buffer import own_buffer, scratch
from broker.net.scheduler import Cancellable, scheduler_of
from broker.net.socket_addresses import is_local

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["FilteredSource"]

# A piece of more bytes makes the buffers of the filters grow. They shrink when no such piece has
# come or gone for one to two pauses. Shrinking after each piece costs 4 % of the time of calls with
# 64 KiB, this less than 1 %. A long pause would leave the buffers of many connections large at a
# time, and the C library does not return all of that memory.
_LARGE = 4096
_PAUSE = 0.02


class FilteredSource(asyncio.BufferedProtocol):
    """A source whose bytes pass through filters.

    Args:
        stream: the stream above.
        loop: the event loop.
        filters: in order from the wire to the stream; at least one.
        handshake_timeout: seconds until all filters are open.
        close_timeout: seconds for the peer to answer the close of a filter of this end.

    Attributes:
        is_open: all filters are open.
        is_encrypted: whether one of the filters is secure, whether it is open or not.
        has_failed: a filter has failed: the connection ends by itself.
        admits: a filter finds out who the peer is; the protocol is made after that.
        peer_certificate: the certificate of the peer, or None.
        on_open: called once when all filters are open, before data is delivered; or None.
    """

    __slots__ = (
        "_close_timeout",
        "_downwards",
        "_filters",
        "_handshake_timeout",
        "_has_grown",
        "_high",
        "_is_closing",
        "_is_full",
        "_is_paused",
        "_loop",
        "_own_buffer",
        "_pairs",
        "_pending",
        "_route",
        "_source",
        "_stream",
        "_timer",
        "_undelivered",
        "_waiter",
        "admits",
        "has_failed",
        "is_encrypted",
        "is_open",
        "on_open",
        "peer_certificate",
    )

    def __init__(
        self,
        stream: Stream,
        loop: asyncio.AbstractEventLoop,
        filters: Sequence[Filter],
        *,
        handshake_timeout: float,
        close_timeout: float,
    ):
        self._stream = stream
        self._loop = loop
        self._filters = tuple(filters)
        self._downwards = self._filters if len(self._filters) == 1 else self._filters[::-1]
        # Each filter above another one, and that one, from the top.
        self._pairs = tuple(zip(self._filters[:0:-1], self._filters[-2::-1], strict=True))
        self._handshake_timeout = handshake_timeout
        self._close_timeout = close_timeout
        self._own_buffer = own_buffer()
        self._source: Source
        self._route: Route | None = None
        self._timer: Cancellable | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pending = b""
        self._undelivered = b""
        self._high = 0
        self._is_full = False
        self._is_paused = False
        self._is_closing = False
        # Whether a large piece has come or gone since the timer for shrinking was set.
        self._has_grown = False
        self.has_failed = False
        self.is_open = False
        self.is_encrypted = any(each.is_secure for each in self._filters)
        self.admits = any(each.admits for each in self._filters)
        self.peer_certificate: x509.Certificate | None = None
        self.on_open: Callable[[], object] | None = None

    # Called by the stream.

    @property
    def can_close(self) -> bool:
        """Whether no written bytes wait for the handshake."""
        return self.is_open or not self._pending

    def begin(self, peer: Any) -> None:
        """Start the handshake; be open now if the filters do not have one.

        Args:
            peer: the address of the other end of the source.
        """
        for each in self._filters:
            if each.admits:
                each.begin(peer, self)
        self._send()
        if all(each.is_open for each in self._filters):
            self._opened()
        else:
            self._set_timer(self._handshake_timeout, self._handshake_is_late)

    async def wait_open(self) -> None:
        """Wait until all filters are open, or for the error that ended the connection."""
        if not self.is_open:
            self._waiter = self._waiter or self._loop.create_future()
            await asyncio.shield(self._waiter)

    def reported(self, reason: Exception) -> None:
        """Note that the stream has reported the end, and why."""
        self._undelivered = b""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(reason)
            # The waiting caller may have been cancelled. This marks the exception as retrieved.
            self._waiter.exception()

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return the chain of the first secure filter; empty after the end."""
        secure = self._secure()
        return () if secure is None else secure.verified_chain

    def channel_binding(self) -> bytes | None:
        """Return the channel binding of the first secure filter; None after the end."""
        secure = self._secure()
        return None if secure is None else secure.channel_binding()

    def is_private(self, peer: Any) -> bool:
        """Return whether a third party cannot read the connection; ``peer`` is the client."""
        if self._route is None:
            return self.is_encrypted or is_local(peer)
        return self._route.is_private(self.is_encrypted)

    @property
    def handshake(self) -> str:
        """The name of the first filter that is not open; empty if all are."""
        return next((each.name for each in self._filters if not each.is_open), "")

    @property
    def proxy_address(self) -> Any:
        """The address of the trusted proxy that the connection came through; None if direct."""
        return None if self._route is None else self._route.proxy

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """Return what the source knows."""
        return self._source.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes, with those that wait for the handshake."""
        return len(self._pending) + self._source.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        """Set the number of unsent bytes above which the stream is paused."""
        self._high = high or 0
        self._source.set_write_buffer_limits(high=high)
        self._check_full()

    def write(self, data: bytes) -> None:
        """Send bytes through the filters; before the handshake is done, keep them."""
        if not self.is_open:
            self._pending += data
            self._check_full()
            return
        if len(data) > _LARGE:
            self._note_large()
        for each in self._downwards:
            try:
                data = each.passed(data)
            except each.error as exc:
                self._fail(each, exc)
                return
        if data:
            self._source.write(data)

    def write_eof(self) -> None:
        """Close the filters, and this half of the source after them."""
        self._close_half(self._filters)

    def is_reading(self) -> bool:
        """Return whether data is delivered."""
        return not self._is_paused

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`; the handshake goes on."""
        self._is_paused = True
        if self.is_open:
            self._source.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._is_paused = False
        self._source.resume_reading()
        if self._undelivered:
            self._loop.call_soon(self._deliver, b"")

    def close(self) -> None:
        """Close the filters, and the source after them."""
        self._stop_timer()
        self._close_filters()

    def abort(self) -> None:
        """Close the source now."""
        self._source.abort()

    # Called by a filter that finds out who the peer is.

    def admit(self, route: Route) -> bool:
        """Make the protocol of the stream; return False if the peer is refused."""
        self._route = route
        return self._stream.admit(route.address, route.accept)

    def cut(self) -> None:
        """End the connection now; it is refused."""
        self._stream.cut_for(ConnectionAborted())

    def end(self, failed: Filter, error: FilterError) -> None:
        """End the connection for an error of a filter, after the message that it has for it."""
        self._fail(failed, error)

    # Called by the source.

    def connection_made(self, transport: Any) -> None:
        """Be the source of the stream from now on."""
        self._source = transport
        self._stream.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer of this thread."""
        return self._own_buffer or scratch.view

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were read into the buffer."""
        self.data_received((self._own_buffer or scratch.view)[:nbytes])

    def data_received(self, received: bytes | memoryview) -> None:
        """Pass bytes through the filters, and deliver the result."""
        if self.has_failed:
            return
        if len(received) > _LARGE:
            self._note_large()
        data = b""
        for each in self._filters:
            try:
                received = data = each.receive(received)
            except each.error as exc:
                self._fail(each, exc)
                return
            if not data:
                break
        self._send()
        if not self.is_open and all(each.is_open for each in self._filters):
            self._opened()
        if data:
            if self._is_paused or self._undelivered:
                self._deliver(data)
            else:
                self._stream.data_received(data)
        for each in self._filters:
            if each.peer_closed or each.failure is not None:
                self._settle(self._filters.index(each))
                return

    def eof_received(self) -> bool:
        """Close this half too; this is an error if the peer has not closed each filter."""
        if not self._stream.is_closing:
            error = self._cut_error(self._filters)
            if error is None:
                self._stream.eof_received()
            else:
                self._stream.cut_for(error)
        return False

    def pause_writing(self) -> None:
        """Pause the stream: too many bytes are unsent."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """Resume the stream; if it closes, the last byte has left."""
        self._stream.resume_writing()
        if self._is_closing and not self.has_failed:
            self._watch_close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, and free the memory of the filters and the buffers."""
        self._stop_timer()
        if exc is not None and not self.is_open and not isinstance(exc, ConnectionLost):
            exc = self._handshake_error("cut")
        self._stream.connection_lost(exc)
        for each in self._filters:
            each.ended()
        self._filters = self._pairs = self._downwards = ()
        self._pending = self._undelivered = b""

    # Internal.

    def _secure(self) -> Filter | None:
        """Return the first filter that is TLS with the peer itself."""
        if self._route is not None and self._route.is_tls_with_proxy:
            return None
        return next((each for each in self._filters if each.is_secure), None)

    def _send(self) -> bool:
        """Pass the bytes of the filters on to the source; return whether there were any."""
        for upper, lower in self._pairs:
            if lower.is_open and not self._pass_down(upper, lower):
                return False
        data = self._filters[0].data_to_send()
        if data:
            self._source.write(data)
            return True
        return False

    def _pass_down(self, upper: Filter, lower: Filter) -> bool:
        data = upper.data_to_send()
        try:
            if data:
                lower.send(data)
        except lower.error as exc:
            self._fail(lower, exc)
            return False
        return True

    def _deliver(self, data: bytes) -> None:
        if not self._stream.is_closing:
            self._undelivered += data
        if self._undelivered and not self._is_paused:
            data, self._undelivered = self._undelivered, b""
            self._stream.data_received(data)

    def _note_large(self) -> None:
        """See to it that the filters shrink in the next pause."""
        if self._timer is not None:
            self._has_grown = True
        elif self.is_open and not self._is_closing:
            self._has_grown = False
            self._set_timer(_PAUSE, self._shrink_in_pause)

    def _shrink_in_pause(self) -> None:
        self._timer = None
        if self._has_grown:
            self._note_large()
        else:
            self._shrink_filters()

    def _shrink_filters(self) -> None:
        for each in self._filters:
            each.shrink()

    def _check_full(self) -> None:
        if not self._is_full and len(self._pending) > self._high:
            self._is_full = True
            self._stream.pause_writing()

    def _opened(self) -> None:
        self._stop_timer()
        self.is_open = True
        self._shrink_filters()
        secure = self._secure()
        if secure is not None:
            self.peer_certificate = secure.peer_certificate
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._is_paused:
            self._source.pause_reading()
        callback, self.on_open = self.on_open, None
        self._stream.opened(callback)
        pending, self._pending = self._pending, b""
        if pending and not self.has_failed:
            self.write(pending)
        if self._is_full:
            self._is_full = False
            # With more unsent bytes, the source resumes the stream later.
            if self._source.get_write_buffer_size() <= self._high:
                self._stream.resume_writing()
        self._stream.close_if_done()

    def _handshake_is_late(self) -> None:
        late = self._first_closed()
        kind: Callable[[str], FilterError] = late.error
        seconds = self._handshake_timeout
        error = limit_error(kind, "handshake_timeout", seconds, what=late.purpose)
        self._fail(late, error)

    def _first_closed(self) -> Filter:
        return next(each for each in self._filters if not each.is_open)

    def _handshake_error(self, verb: str) -> FilterError:
        late = self._first_closed()
        return late.error(f"the peer {verb} the connection during the {late.name} handshake")

    def _cut_error(self, filters: Sequence[Filter]) -> FilterError | None:
        """Return the error for a peer that ends the connection now; None if it may."""
        for each in filters:
            if not each.is_open:
                return self._handshake_error("closed")
            if each.has_close and not each.peer_closed:
                return ConnectionLost(f"connection cut (no {each.name} close)")
        return None

    def _settle(self, at: int) -> None:
        """Act on the lowest filter that has failed, or that the peer has closed."""
        filters = self._filters
        failure = filters[at].failure
        if failure is not None:
            self._fail(filters[at], failure)
        elif self._is_closing:
            self._close_filters()
        elif not self._stream.is_closing:
            error = self._cut_error(filters[at + 1 :])
            if error is None:
                self._stream.close_for(ConnectionDone())
            else:
                self._stream.cut_for(error)

    def _close_filters(self) -> None:
        """Close the filters from the top; wait for the peer's close of each that is open."""
        self._is_closing = True
        for at in range(len(self._filters) - 1, -1, -1):
            each = self._filters[at]
            each.close()
            self._send()
            if self.has_failed:
                return
            if each.has_close and each.is_open and not self._is_ended(at):
                # The source calls when the last byte has left. Read on, to see the peer's close.
                self._source.set_write_buffer_limits(high=0)
                self._source.resume_reading()
                self._watch_close()
                return
        self._source.close()

    def _is_ended(self, at: int) -> bool:
        """Whether the peer has closed this filter, or one below it."""
        return any(each.peer_closed for each in self._filters[: at + 1])

    def _watch_close(self) -> None:
        if not self._source.get_write_buffer_size():
            self._set_timer(self._close_timeout, self._close_is_late)

    def _close_is_late(self) -> None:
        waiting = [each for each in self._filters if each.has_close and not each.peer_closed]
        purpose = waiting[-1].purpose
        error = limit_error(ConnectionLost, "close_timeout", self._close_timeout, what=purpose)
        self._stream.cut_for(error)

    def _fail(self, failed: Filter, error: FilterError) -> None:
        """End the connection for an error, and send the peer the message about it, if any."""
        is_logged = failed.is_server and not failed.is_quiet
        if self.has_failed or not self._stream.fail_for(error, is_logged=is_logged):
            return
        self.has_failed = True
        self._stop_timer()
        has_sent = self._send()
        try:
            has_sent |= self._close_half(self._filters[: self._filters.index(failed)])
        except OSError:
            # The peer has cut the connection.
            has_sent = False
        if not has_sent:
            self._source.abort()
            return
        self._source.resume_reading()
        self._set_timer(self._close_timeout, self._abort_if_stalled, self._unsent())

    def _unsent(self) -> int:
        return self._source.get_write_buffer_size()

    def _abort_if_stalled(self, before: int) -> None:
        """Close now, unless the peer still takes what was sent last: an answer of many bytes."""
        unsent = self._unsent()
        if 0 < unsent < before:
            self._set_timer(self._close_timeout, self._abort_if_stalled, unsent)
        else:
            self._source.abort()

    def _close_half(self, filters: Sequence[Filter]) -> bool:
        """Close these filters from the top, and this half of the source; wait for no answer.

        Returns:
            Whether a filter had a last message.
        """
        has_sent = False
        for each in reversed(filters):
            each.close()
            has_sent |= self._send()
        self._source.write_eof()
        return has_sent

    def _set_timer(self, delay: float, f: Callable[..., object], *args: object) -> None:
        self._stop_timer()
        self._timer = scheduler_of(self._loop).timeout(delay, f, *args)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
