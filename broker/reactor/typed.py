"""The published interfaces as types, which annotations name.

zope.interface has no types: for a type checker, the classes of `broker.reactor.interfaces` are
Any. An object fulfils one of these types by its methods, and declares nothing. The module
`broker.reactor` fulfils those of a reactor, and so does a reactor of Twisted. The factories of
Twisted fulfil those of a factory: their arguments may be of any type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from OpenSSL import SSL

from broker.defer import Deferred
from broker.failure import Failure

__all__ = [
    "Binding",
    "Cancellable",
    "ClientEndpoint",
    "Clock",
    "ConnectingFactory",
    "Connector",
    "Consumer",
    "ContextFactory",
    "CoreReactor",
    "DelayedCall",
    "Environment",
    "ListeningPort",
    "NetworkReactor",
    "ProtocolFactory",
    "Reader",
    "SSLReactor",
    "Selectable",
    "ServerEndpoint",
    "TCPReactor",
    "ThreadReactor",
    "TimeReactor",
    "TimedNetworkReactor",
    "UNIXReactor",
    "Writer",
]

Binding: TypeAlias = tuple[str, int] | str | None
"""This end's address of a connection to make: (address, port), or an address; None for any."""

Environment: TypeAlias = Mapping[str, str | bytes] | Mapping[bytes, str | bytes]
"""The variables of a process, by name."""


class Cancellable(Protocol):
    """A call that can be cancelled."""

    def cancel(self) -> object:
        """Cancel it."""


class DelayedCall(Cancellable, Protocol):
    """A call that waits for its time."""

    def active(self) -> object:
        """Return whether it is pending."""


class Clock(Protocol):
    """Makes delayed calls."""

    def callLater(
        self, delay: float, callable: Callable[..., object], /, *args: object
    ) -> DelayedCall:
        """Call after a number of seconds."""


class TimeReactor(Clock, Protocol):
    """Makes delayed calls, and knows the time."""

    def seconds(self) -> float:
        """Return the time, in seconds."""


class CoreReactor(Protocol):
    """Starts, stops and runs a reactor."""

    def run(self) -> object:
        """Run until `stop`."""

    def stop(self) -> object:
        """End `run`."""

    def callWhenRunning(self, callable: Callable[..., object], /, *args: object) -> object:
        """Call as soon as the reactor runs."""

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], /, *args: object
    ) -> object:
        """Call when an event happens."""


class ThreadReactor(Protocol):
    """Takes calls from other threads."""

    def callFromThread(self, callable: Callable[..., object], /, *args: object) -> object:
        """Call in the thread of the loop."""


class ContextFactory(Protocol):
    """Makes the pyOpenSSL contexts of connections."""

    def getContext(self) -> SSL.Context:
        """Return the context of a connection."""


class ProtocolFactory(Protocol):
    """Makes the protocol of each connection."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Return the protocol, or None to refuse the connection."""

    def doStart(self) -> object:
        """Count one more port or connector as a user of this factory."""

    def doStop(self) -> object:
        """Count one user less."""


class ConnectingFactory(ProtocolFactory, Protocol):
    """Makes the protocol of a connection that this end makes, and is told of its end."""

    def startedConnecting(self, connector: Any, /) -> object:
        """Handle the start of an attempt."""

    def clientConnectionFailed(self, connector: Any, reason: Any, /) -> object:
        """Handle a failed attempt."""

    def clientConnectionLost(self, connector: Any, reason: Any, /) -> object:
        """Handle the end of the connection."""


class Connector(Protocol):
    """Makes connections to one address."""

    def connect(self) -> object:
        """Connect again."""

    def stopConnecting(self) -> object:
        """Stop the attempt."""

    def disconnect(self) -> object:
        """End the connection, or the attempt."""

    def getDestination(self) -> object:
        """Return the address to connect to."""


class ListeningPort(Protocol):
    """A port that listens."""

    def getHost(self) -> Any:
        """Return its address."""

    def stopListening(self) -> object:
        """Stop listening; return a Deferred, or None."""


class TCPReactor(Protocol):
    """Listens and connects over TCP."""

    def listenTCP(
        self, port: int, factory: Any, backlog: int = ..., interface: str = ...
    ) -> ListeningPort:
        """Listen."""

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: Any = ...,
        bindAddress: Any = ...,
    ) -> Connector:
        """Connect."""


class SSLReactor(Protocol):
    """Listens and connects over TLS."""

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = ...,
        interface: str = ...,
    ) -> ListeningPort:
        """Listen."""

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: Any = ...,
        bindAddress: Any = ...,
    ) -> Connector:
        """Connect."""


class UNIXReactor(Protocol):
    """Listens and connects over UNIX sockets."""

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = ..., mode: int = ..., wantPID: int = ...
    ) -> ListeningPort:
        """Listen."""

    def connectUNIX(
        self, address: str, factory: Any, timeout: Any = ..., checkPID: int = ...
    ) -> Connector:
        """Connect."""


class NetworkReactor(TCPReactor, SSLReactor, UNIXReactor, Protocol):
    """Listens and connects in each way."""


class TimedNetworkReactor(NetworkReactor, Clock, Protocol):
    """Listens and connects, and makes delayed calls."""


class ClientEndpoint(Protocol):
    """An address to connect to."""

    def connect(self, protocolFactory: ProtocolFactory, /) -> Deferred[Any]:
        """Return a Deferred of the protocol, once it is connected."""


class ServerEndpoint(Protocol):
    """An address to listen at."""

    def listen(self, protocolFactory: ProtocolFactory, /) -> Deferred[Any]:
        """Return a Deferred of the port."""


class Consumer(Protocol):
    """The receiver of a producer's data; every transport is one."""

    def registerProducer(self, producer: Any, streaming: bool, /) -> object:
        """Register a producer."""

    def unregisterProducer(self) -> object:
        """Forget the producer."""

    def write(self, data: bytes, /) -> object:
        """Take data of the producer."""


class Selectable(Protocol):
    """An object with a descriptor that a reactor can watch."""

    def fileno(self) -> int:
        """Return the descriptor; less than 0 if it is closed."""

    def connectionLost(self, reason: Failure, /) -> object:
        """Handle the end."""


class Reader(Selectable, Protocol):
    """An object whose `doRead` is called when its descriptor is readable."""

    def doRead(self) -> object:
        """Read; return None, or the exception that ended it."""


class Writer(Selectable, Protocol):
    """An object whose `doWrite` is called when its descriptor is writable."""

    def doWrite(self) -> object:
        """Write; return None, or the exception that ended it."""
