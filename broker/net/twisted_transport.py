"""Adapts a transport that is not of this library, such as one of Twisted, to TransportPort.

Theory of operation. A `StreamTransport` has ``unsent``, and calls ``on_drained`` when few bytes are
unsent. A transport of Twisted tells only a push producer that it is full and, later, that it is
empty. But it does not close while a producer is registered. So `TwistedTransport` registers one at
a write and keeps it while the transport is full, otherwise until the next turn of the loop: over
TLS, Twisted passes small writes on only then. A producer of the application has priority: it waits
for the transport itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.net import tcp_keepalive
from broker.net.producers import Producer
from broker.net.scheduler import Scheduler, TwistedScheduler, scheduler_for
from broker.net.socket_addresses import is_local
from broker.net.socket_options import unsent_in_kernel
from broker.net.transport_port import LINGER_TIME, TransportPort

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["PlainTransport", "TwistedTransport", "port_of"]

# More than Twisted's own mark, above which it is full.
FULL = 64 * 1024 + 1


def port_of(transport: Any) -> TransportPort:
    """Return a transport of this library as it is, and any other one adapted.

    Args:
        transport: an object with ``write`` and ``loseConnection``. The other methods of a transport
            of Twisted are used if there are such.
    """
    if TransportPort in type(transport).__mro__:
        ours: TransportPort = transport
        return ours
    scheduler = scheduler_for(transport)
    kind = TwistedTransport if isinstance(scheduler, TwistedScheduler) else PlainTransport
    return kind(transport, scheduler)


class _Adapter(TransportPort):
    """The part that does not depend on how the transport is written to."""

    __slots__ = ("_transport", "most_unsent", "on_drained", "reads_ahead", "scheduler", "unsent")

    scheduler: Scheduler
    on_drained: Callable[[], object] | None
    reads_ahead: bool
    unsent: int
    most_unsent: int
    is_unsent_exact = False
    is_closing = False
    is_reading = True
    proxy_address = None

    def __init__(self, transport: Any, scheduler: Scheduler):
        self.scheduler = scheduler
        self.on_drained = None
        self.unsent = 0
        self.most_unsent = 0
        self._transport = transport

    @property
    def peer_address(self) -> Any:
        """The address that ``getPeer`` returns; None without such a method."""
        return self._ask("getPeer", None)

    def pause_reading(self) -> None:
        """Pause the transport, if it can be paused."""
        self._ask("pauseProducing", None)

    def resume_reading(self) -> None:
        """Resume the transport."""
        self._ask("resumeProducing", None)

    def loseConnection(self) -> None:
        """Close the connection, once all written bytes are sent (published)."""
        self._transport.loseConnection()

    def leave(self, *, at_once: bool = False) -> None:
        """Close the connection; the transport does not have a lingering close."""
        self._transport.loseConnection()

    def abortConnection(self) -> None:
        """Cut the connection now, or close it if the transport cannot do that (published)."""
        getattr(self._transport, "abortConnection", self._transport.loseConnection)()

    def watch_peer(self, silence: float, wait: float) -> None:
        """Have the kernel end the connection if the peer is gone, if there is a TCP socket."""
        sock = tcp_keepalive.socket_of(self._transport)
        if sock is not None:
            tcp_keepalive.watch(sock, silence, wait)

    def unsent_in_kernel(self) -> int | None:
        """Return how many bytes the kernel of the peer has not taken; None if it is not known."""
        sock = tcp_keepalive.socket_of(self._transport)
        return None if sock is None else unsent_in_kernel(sock.fileno())

    @property
    def is_secure(self) -> bool:
        """Whether the transport uses TLS."""
        transport = self._transport
        return getattr(transport, "is_secure", False) or hasattr(transport, "getPeerCertificate")

    @property
    def is_private(self) -> bool:
        """Whether a third party cannot read the connection."""
        return self.is_secure or is_local(self.peer_address)

    def when_secured(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` now: a transport of Twisted does not tell when the handshake ends."""
        callback()

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The certificate that the transport has verified; None for one of Twisted."""
        certificate: x509.Certificate | None = getattr(self._transport, "peer_certificate", None)
        return certificate

    def verified_chain(self) -> tuple[x509.Certificate, ...]:
        """Return the chain of that certificate."""
        chain: tuple[x509.Certificate, ...] = self._ask("verified_chain", ())
        return chain

    def channel_binding(self) -> bytes | None:
        """Return the channel binding of the transport; None for one of Twisted."""
        binding: bytes | None = self._ask("channel_binding", None)
        return binding

    def _ask(self, name: str, otherwise: Any) -> Any:
        """Call a method of the transport that it may not have."""
        method = getattr(self._transport, name, None)
        return otherwise if method is None else method()


class PlainTransport(_Adapter):
    """A transport without a loop, such as a StringTransport: it is never full.

    Args:
        transport: the transport.
        scheduler: turns and time.

    Attributes:
        write: the method of the transport itself, so that a write costs no call in between.
    """

    __slots__ = ("write",)

    write: Callable[[bytes], object]

    def __init__(self, transport: Any, scheduler: Scheduler):
        super().__init__(transport, scheduler)
        self.write = transport.write

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let a producer write to the transport, until `unregisterProducer` (published)."""
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Forget the producer (published)."""
        self._transport.unregisterProducer()


class TwistedTransport(_Adapter):
    """A transport of Twisted; knows whether it is full.

    Args:
        transport: the transport of Twisted.
        scheduler: the scheduler of its reactor.

    Attributes:
        unsent: more than 64 KiB while the transport is full, else 0.
        most_unsent: upper bound of the unsent bytes: those written since the transport was empty.
    """

    __slots__ = ("_gauge", "_is_registered", "_is_taken")

    def __init__(self, transport: Any, scheduler: Scheduler):
        super().__init__(transport, scheduler)
        self._gauge = _Gauge(self)
        self._is_registered = False
        self._is_taken = False

    def write(self, data: bytes) -> None:
        """Write, and find out whether the transport is full now."""
        if not self._is_taken and not self._is_registered:
            try:
                self._transport.registerProducer(self._gauge, True)
            except RuntimeError:
                # The application has registered its own producer.
                pass
            else:
                self._is_registered = True
                self.scheduler.soon(self._settle)
        if self._is_registered:
            self.most_unsent += len(data)
        self._transport.write(data)

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let a producer write to the transport, until `unregisterProducer` (published)."""
        was_full = self.unsent
        self._release()
        self._is_taken = True
        if was_full:
            self.scheduler.soon(self._drained)
        self._transport.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Forget the producer that was registered here (published)."""
        self._is_taken = False
        self._transport.unregisterProducer()

    def leave(self, *, at_once: bool = False) -> None:
        """Close the connection; with ``at_once`` read no more, and cut it after `LINGER_TIME`."""
        if at_once:
            self.pause_reading()
            self.scheduler.timeout(LINGER_TIME, self.abortConnection)
        super().leave()

    def empty(self) -> None:
        """Note that the transport has sent all bytes."""
        self._release()
        self._drained()

    def ended(self) -> None:
        """Note that the connection has ended."""
        self._is_registered = False
        self.unsent = self.most_unsent = 0

    def _drained(self) -> None:
        if self.on_drained is not None:
            self.on_drained()

    def _settle(self) -> None:
        if not self.unsent:
            self._release()

    def _release(self) -> None:
        self.unsent = self.most_unsent = 0
        if self._is_registered:
            self._is_registered = False
            self._transport.unregisterProducer()


class _Gauge:
    """The push producer that a TwistedTransport registers: it writes nothing."""

    __slots__ = ("_port",)

    def __init__(self, port: TwistedTransport):
        self._port = port

    def pauseProducing(self) -> None:
        """The transport is full (published)."""
        self._port.unsent = FULL

    def resumeProducing(self) -> None:
        """The transport is empty (published)."""
        self._port.empty()

    def stopProducing(self) -> None:
        """The connection has ended (published)."""
        self._port.ended()
