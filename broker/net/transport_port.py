"""TransportPort: all that a connection asks of its transport.

The transports of this library are subclasses of it. `broker.net.twisted_transport.port_of` adapts
every other transport, once, when the connection is made. So no other code has to find out what a
transport can do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from broker.net.producers import Producer
from broker.net.scheduler import Scheduler

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["LINGER_SIZE", "LINGER_TIME", "TransportPort"]

LINGER_SIZE = 64 * 1024
"""Bytes of the peer that are dropped after `TransportPort.leave`; then the connection is cut."""

LINGER_TIME = 1.0
"""Seconds that the peer has to close its side after `TransportPort.leave`."""


class TransportPort(Protocol):
    """A transport, as a connection uses it.

    A subclass defines each member. What is a property here may be a slot, or an attribute with a
    default in the class.
    """

    __slots__ = ()

    @property
    def scheduler(self) -> Scheduler:
        """Turns and time of the loop."""

    @property
    def peer_address(self) -> Any:
        """The address of the other end; None if the transport does not know it."""

    @property
    def proxy_address(self) -> Any:
        """The address of the trusted proxy that the connection came through; None if direct."""
        return None

    # Bytes out.

    def write(self, data: bytes, /) -> object:
        """Send ``data`` after earlier writes; drop it once the connection closes."""

    @property
    def unsent(self) -> int:
        """Bytes that were written and not sent yet, as far as the transport tells."""

    @property
    def most_unsent(self) -> int:
        """The most bytes that can be unsent: `unsent`, if that is exact."""

    @property
    def is_unsent_exact(self) -> bool:
        """Whether `unsent` falls as soon as the peer takes bytes."""

    @property
    def on_drained(self) -> Callable[[], object] | None:
        """Is called without arguments when few bytes are unsent after many were; or None.

        The connection sets it.
        """

    @on_drained.setter
    def on_drained(self, callback: Callable[[], object] | None) -> None: ...

    def unsent_in_kernel(self) -> int | None:
        """Return how many bytes the kernel of the peer has not taken; None if it is not known."""

    def registerProducer(self, producer: Producer, streaming: bool) -> object:
        """Let a producer write to the transport, until `unregisterProducer` (published)."""

    def unregisterProducer(self) -> object:
        """Forget the producer (published)."""

    # Bytes in.

    def pause_reading(self) -> object:
        """Deliver no data until `resume_reading`, if the transport can be paused."""

    def resume_reading(self) -> object:
        """Deliver again."""

    @property
    def reads_ahead(self) -> bool:
        """Whether more may be read at a time: then some data is delivered after `pause_reading`.

        The connection sets it. It has no effect if the transport reads a fixed amount.
        """

    @reads_ahead.setter
    def reads_ahead(self, allowed: bool) -> None: ...

    @property
    def is_reading(self) -> bool:
        """Whether data of the peer is read and delivered; True if that is not known."""

    # The end.

    @property
    def is_closing(self) -> bool:
        """Whether further writes are dropped, because the connection closes."""

    def loseConnection(self) -> object:
        """Close the connection, once all written bytes are sent (published)."""

    def leave(self, *, at_once: bool = False) -> object:
        """Close the connection so that the peer can read all that was written (lingering close).

        Closing a socket that has unread bytes of the peer sends a reset. The peer may notice it
        before it has read the last bytes. So only the writing half is closed, after the TLS close.
        Bytes of the peer are dropped. The connection ends when the peer closes, or after
        `LINGER_SIZE` bytes of the peer, or `LINGER_TIME` seconds after the last byte was sent.

        Args:
            at_once: do not wait for a registered producer, and end after `LINGER_TIME` even if
                bytes are unsent.
        """

    def abortConnection(self) -> object:
        """Cut the connection now (published)."""

    def watch_peer(self, silence: float, wait: float) -> None:
        """Have the kernel end the connection if the peer is gone.

        Does nothing if the transport has no TCP socket.

        Args:
            silence: seconds without a packet from the peer until the first probe.
            wait: seconds from the first probe until the connection is ended.
        """

    # Who is at the other end.

    @property
    def is_secure(self) -> bool:
        """Whether the connection is encrypted, and the peer is accepted."""

    @property
    def is_private(self) -> bool:
        """Whether a third party cannot read the connection.

        True for TLS, the loopback interface, a UNIX socket, or a pipe.
        """

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` once the peer is accepted: now, if there is no handshake to wait for.

        There is one callback, which is called before data is delivered.
        """

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate of the peer, or None."""

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return the chain by which the peer's certificate was verified; empty if it was not."""

    def channel_binding(self) -> bytes | None:
        """Return 32 bytes that only the ends of this TLS connection know (RFC 9266), or None."""
