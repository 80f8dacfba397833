"""The interfaces of a connection's bytes: the source, byte filters, and the stream.

A *source* gives and takes the bytes of one connection: a socket, or a pair of pipes. A *filter*
changes them: it is one end of a protocol such as TLS, without input or output. A *stream* has the
bytes that come out of the last filter. `broker.net.filtered_source` joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from broker.errors import ConnectionLost, TLSError
from broker.net.socket_addresses import is_local

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Admission", "Arrive", "Filter", "FilterError", "Route", "Source", "Stream"]

FilterError: TypeAlias = TLSError | ConnectionLost
"""The error of a filter."""


class Route(Struct, frozen=True):
    """The way of a connection to a server, as a filter has found it out.

    Attributes:
        address: the address of the client.
        proxy: the address of the trusted proxy that the connection came through, or None.
        is_tls_with_proxy: whether TLS of this end is with the proxy: then its certificate and its
            channel binding are not those of the client.
        is_encrypted: whether all parts of the way are encrypted, or on this machine, although the
            filters of this end do not show it; None to go by the filters and the addresses.
        accept: makes the protocol of the connection; None for the function of the listener.
    """

    address: Any
    proxy: Any = None
    is_tls_with_proxy: bool = False
    is_encrypted: bool | None = None
    accept: Callable[[Any], Any] | None = None

    def is_private(self, has_tls: bool) -> bool:
        """Return whether a third party cannot read the connection.

        Args:
            has_tls: whether a filter of this end encrypts it.
        """
        if self.is_encrypted is not None:
            return self.is_encrypted
        is_here = is_local(self.address) and (self.proxy is None or is_local(self.proxy))
        return has_tls or is_here


class Admission(Protocol):
    """The connection, as a filter sees it that finds out who the peer is."""

    def admit(self, route: Route, /) -> bool:
        """Make the protocol of the connection; return False if the peer is refused."""
        raise NotImplementedError

    def cut(self) -> None:
        """End the connection now; it is refused."""

    def end(self, failed: Filter, error: FilterError, /) -> None:
        """End the connection for an error of a filter that comes later than the bytes."""


Arrive: TypeAlias = Callable[[Any, Callable[[], object]], Callable[[], object] | None]
"""``arrive(address, cut)`` notes a connection that is not admitted yet, and counts it among those
that have not logged in; ``address`` is None if it is that of a proxy. It returns a function to call
once when the connection is admitted, or has ended; or None if there are too many. ``cut()`` is
called when the server closes, or drops the connection for another one."""


class Source(Protocol):
    """The bytes of one connection: the part of a transport of asyncio that a stream uses."""

    __slots__ = ()

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """Return the ``socket``, ``peername`` or ``sockname``; addresses if there is no socket."""

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes."""
        raise NotImplementedError

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        """Set the number of unsent bytes above which the stream is paused."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def write_eof(self) -> None:
        """Close this half, once all bytes are sent."""

    def is_reading(self) -> bool:
        """Return whether data is delivered."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Deliver no data until `resume_reading`."""

    def resume_reading(self) -> None:
        """Deliver again."""

    def close(self) -> None:
        """Close, once all bytes are sent."""

    def abort(self) -> None:
        """Close now."""


class Filter(Protocol):
    """One end of a protocol that carries bytes, such as TLS: bytes in, bytes out.

    A class inherits from it for the defaults: those of a filter without a handshake, without a
    message for its close, and without encryption.

    Attributes:
        name: the name of the protocol, for the texts of errors.
        error: the class of the errors that `receive` and `send` raise.
        purpose: the purpose of the texts of its limits, see `broker.limit_errors`.
        has_close: whether each end says with a message that no data follows.
        is_secure: whether a third party can neither read nor change the bytes on the wire.
        is_server: whether this is the end of a server, which logs what peers do wrong.
        admits: whether the protocol of the connection is made only when this filter knows the peer;
            see `begin`. At most one filter of a connection does that.
        is_quiet: whether the error that has ended it is not to be logged: it is logged elsewhere,
            or the connection has served its purpose.
        is_open: the handshake is done, and `send` may be called.
        peer_closed: the peer has said that no data follows.
        failure: the error that ended it, after `receive` has returned the data before it.
    """

    __slots__ = ()

    name: str
    error: type[FilterError]
    purpose: str = ""
    has_close: bool = False
    is_secure: bool = False
    admits: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether its error is not to be logged."""
        return False

    def begin(self, peer: Any, admission: Admission, /) -> None:
        """Begin, if the filter `admits`: call ``admission.admit`` once the peer is known.

        Args:
            peer: the address of the other end of the source.
            admission: makes the protocol, or ends the connection.
        """
        return

    @property
    def is_server(self) -> bool:
        """Whether this is the end of a server."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done."""
        return True

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has said that no data follows."""
        return False

    @property
    def failure(self) -> FilterError | None:
        """The error that ended it."""
        return None

    def receive(self, data: bytes | memoryview, /) -> bytes:
        """Take bytes from below; return those for above that they complete.

        Raises:
            error: the connection cannot continue; `data_to_send` returns the message for the peer.
        """
        raise NotImplementedError

    def send(self, data: bytes, /) -> None:
        """Take bytes from above.

        Raises:
            error: the connection has failed.
        """
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        """Return the bytes for below, and forget them."""
        raise NotImplementedError

    def passed(self, data: bytes, /) -> bytes:
        """Take bytes from above; return the bytes for below: `send`, then `data_to_send`.

        Raises:
            error: the connection has failed.
        """
        self.send(data)
        return self.data_to_send()

    def close(self) -> None:
        """Say that no data follows, if the protocol can; a second call does nothing."""
        return

    def ended(self) -> None:
        """Note that the source has ended; no other call follows."""
        return

    def shrink(self) -> None:
        """Free memory that only much data needs: now is a quiet moment. No bytes are lost."""
        return

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate of the peer, once the filter is open; or None."""
        return None

    @property
    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """The chain by which that certificate was verified; empty if it was not."""
        return ()

    def channel_binding(self) -> bytes | None:
        """Return bytes that only the two ends of the connection know (RFC 9266), or None."""
        return None


class Stream(Protocol):
    """The stream above a source: a protocol of asyncio, and how a ``FilteredSource`` ends it."""

    @property
    def is_closing(self) -> bool:
        """Whether the stream closes, or is closed."""
        raise NotImplementedError

    def connection_made(self, source: Source, /) -> None:
        """Use the source; `broker.net.filtered_source.FilteredSource.begin` must be called."""

    def data_received(self, data: bytes, /) -> None:
        """Take incoming bytes."""

    def eof_received(self) -> bool:
        """Close: the peer has ended the connection."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """Stop writing: too many bytes are unsent."""

    def resume_writing(self) -> None:
        """Go on writing: few bytes are unsent."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Report the end."""

    def admit(self, address: Any, accept: Callable[[Any], Any] | None = None, /) -> bool:
        """Make the protocol for the client at an address; return False if it is refused.

        Args:
            address: of the client.
            accept: makes the protocol; None for the function of the listener.
        """
        raise NotImplementedError

    def opened(self, callback: Callable[[], object] | None, /) -> None:
        """Call the callback of ``FilteredSource.on_open``, if there is one."""

    def close_if_done(self) -> None:
        """Close now if that has waited for the handshake."""

    def close_for(self, reason: Exception, /) -> None:
        """Send the unsent bytes, then close; ``reason`` is reported later."""

    def cut_for(self, reason: Exception, /) -> None:
        """Close without sending the unsent bytes."""

    def fail_for(self, error: FilterError, /, *, is_logged: bool) -> bool:
        """Report the failure of a filter soon; return False if the stream is closing already."""
        raise NotImplementedError
