"""Published interfaces that programs implement or ask for, by `implementer` and `providedBy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from OpenSSL import crypto

    from broker.defer import Deferred
    from broker.failure import Failure
    from broker.reactor.typed import Binding, ContextFactory

__all__ = [
    "IAddress",
    "IConnector",
    "IConsumer",
    "IDelayedCall",
    "IFileDescriptor",
    "IListeningPort",
    "IProcessTransport",
    "IProducer",
    "IProtocol",
    "IProtocolFactory",
    "IPullProducer",
    "IPushProducer",
    "IReactorCore",
    "IReactorFDSet",
    "IReactorFromThreads",
    "IReactorInThreads",
    "IReactorProcess",
    "IReactorSSL",
    "IReactorTCP",
    "IReactorThreads",
    "IReactorTime",
    "IReactorUNIX",
    "IReadDescriptor",
    "IReadWriteDescriptor",
    "ISSLTransport",
    "IStreamClientEndpoint",
    "IStreamServerEndpoint",
    "ITCPTransport",
    "ITransport",
    "IWriteDescriptor",
]


class IProducer(Interface):
    """Writes to a consumer."""

    def stopProducing() -> None:
        """Stop for good: the consumer is closed."""


class IPushProducer(IProducer):
    """A producer that writes by itself, and can be paused (`streaming` true)."""

    def pauseProducing() -> None:
        """Write nothing until `resumeProducing`."""

    def resumeProducing() -> None:
        """Go on writing."""


class IPullProducer(IProducer):
    """A producer that writes once for each request (`streaming` false)."""

    def resumeProducing() -> None:
        """Write once."""


class IConsumer(Interface):
    """The receiver of a producer's data; every transport is one."""

    def registerProducer(producer: IProducer, streaming: bool) -> None:
        """Register a producer; RuntimeError if one is registered already."""

    def unregisterProducer() -> None:
        """Forget the producer."""

    def write(data: bytes) -> None:
        """Take data of the producer."""


class ITransport(Interface):
    """A connection, as its protocol sees it."""

    def write(data: bytes) -> None:
        """Send after earlier writes."""

    def writeSequence(data: Iterable[bytes]) -> None:
        """Join the pieces, and send them as one."""

    def loseConnection() -> None:
        """Close once all bytes are sent."""

    def getPeer() -> IAddress:
        """Return the address of the other end."""

    def getHost() -> IAddress:
        """Return the address of this end."""


class IProtocol(Interface):
    """One end of a stream connection."""

    def makeConnection(transport: ITransport) -> None:
        """Keep the transport, and call `connectionMade`."""

    def connectionMade() -> None:
        """Handle the new connection."""

    def dataReceived(data: bytes) -> None:
        """Handle incoming bytes, split at any position."""

    def connectionLost(reason: Failure) -> None:
        """Handle the end of the connection; `reason` is a Failure."""


class IProtocolFactory(Interface):
    """Makes the protocol of each connection."""

    def buildProtocol(addr: IAddress) -> IProtocol | None:
        """Return a protocol, or None to refuse the connection."""

    def doStart() -> None:
        """Count one more port or connector as a user of this factory."""

    def doStop() -> None:
        """Count one user less."""


class IStreamClientEndpoint(Interface):
    """An address to connect to."""

    def connect(protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Return a Deferred of the protocol, once it is connected."""


class IStreamServerEndpoint(Interface):
    """An address to listen at."""

    def listen(protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Return a Deferred of the port."""


class IReactorCore(Interface):
    """Starts, stops and runs a reactor."""

    running = Attribute("Whether it runs.")

    def run() -> None:
        """Run until `stop`."""

    def stop() -> None:
        """End `run`."""

    def iterate(delay: float) -> None:
        """Run one turn of the loop."""

    def resolve(name: str, timeout: Sequence[float]) -> Deferred[str]:
        """Return a Deferred of an IPv4 address."""

    def fireSystemEvent(eventType: str) -> None:
        """Fire an event."""

    def addSystemEventTrigger(
        phase: str,
        eventType: str,
        callable: Callable[..., object],
        *args: object,
        **kwargs: object,
    ) -> object:
        """Call when an event happens."""

    def removeSystemEventTrigger(triggerID: object) -> None:
        """Remove such a call."""

    def callWhenRunning(callable: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Call as soon as the reactor runs."""


class IReactorTime(Interface):
    """Makes delayed calls."""

    def seconds() -> float:
        """Return the time, in seconds."""

    def callLater(
        delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """Call after a number of seconds; return an IDelayedCall."""

    def getDelayedCalls() -> list[IDelayedCall]:
        """Return the pending calls."""


class IDelayedCall(Interface):
    """A call that waits for its time."""

    def getTime() -> float:
        """Return when it will be made."""

    def cancel() -> None:
        """Cancel it."""

    def delay(secondsLater: float) -> None:
        """Move it by a number of seconds."""

    def reset(secondsFromNow: float) -> None:
        """Move it to a number of seconds from now."""

    def active() -> bool:
        """Return whether it is pending."""


class IReactorFromThreads(Interface):
    """Takes calls from other threads."""

    def callFromThread(callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call in the loop's thread."""


class IReactorInThreads(Interface):
    """Makes calls in other threads."""

    def callInThread(callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call in a thread of the pool."""


class IReactorThreads(IReactorFromThreads, IReactorInThreads):
    """Calls from and to other threads."""

    def getThreadPool() -> object:
        """Return the thread pool."""

    def suggestThreadPoolSize(size: int) -> None:
        """Set how many calls may run at once."""


class IReactorTCP(Interface):
    """Listens and connects over TCP."""

    def listenTCP(
        port: int, factory: IProtocolFactory, backlog: int, interface: str
    ) -> IListeningPort:
        """Listen; return an IListeningPort."""

    def connectTCP(
        host: str, port: int, factory: IProtocolFactory, timeout: float, bindAddress: Binding
    ) -> IConnector:
        """Connect; return an IConnector."""


class IReactorSSL(Interface):
    """Listens and connects over TLS."""

    def listenSSL(
        port: int,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int,
        interface: str,
    ) -> IListeningPort:
        """Listen; return an IListeningPort."""

    def connectSSL(
        host: str,
        port: int,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        timeout: float,
        bindAddress: Binding,
    ) -> IConnector:
        """Connect; return an IConnector."""


class IReactorUNIX(Interface):
    """Listens and connects over UNIX sockets."""

    def listenUNIX(
        address: str, factory: IProtocolFactory, backlog: int, mode: int, wantPID: int
    ) -> IListeningPort:
        """Listen; return an IListeningPort."""

    def connectUNIX(
        address: str, factory: IProtocolFactory, timeout: float, checkPID: int
    ) -> IConnector:
        """Connect; return an IConnector."""


class IReactorProcess(Interface):
    """Runs other programs."""

    def spawnProcess(
        processProtocol: object,
        executable: str | bytes,
        args: Sequence[str | bytes],
        env: Mapping[str, str] | None,
        path: str | bytes | None,
        uid: int | None,
        gid: int | None,
        usePTY: bool,
        childFDs: Mapping[int, int | str] | None,
    ) -> IProcessTransport:
        """Run a program; return its transport."""


class IReactorFDSet(Interface):
    """Watches descriptors for a program."""

    def addReader(descriptor: IReadDescriptor) -> None:
        """Watch an IReadDescriptor."""

    def addWriter(descriptor: IWriteDescriptor) -> None:
        """Watch an IWriteDescriptor."""

    def removeReader(descriptor: IReadDescriptor) -> None:
        """Stop watching an IReadDescriptor."""

    def removeWriter(descriptor: IWriteDescriptor) -> None:
        """Stop watching an IWriteDescriptor."""

    def removeAll() -> list[IFileDescriptor]:
        """Stop watching all of them; return those that were watched."""

    def getReaders() -> list[IReadDescriptor]:
        """Return the watched readers."""

    def getWriters() -> list[IWriteDescriptor]:
        """Return the watched writers."""


class IFileDescriptor(Interface):
    """An object that a reactor can watch."""

    def fileno() -> int:
        """Return the descriptor; less than 0 if it is closed."""

    def connectionLost(reason: Failure) -> None:
        """Handle the end; `reason` is a Failure."""


class IReadDescriptor(IFileDescriptor):
    """An object whose `doRead` is called when its descriptor is readable."""

    def doRead() -> Exception | None:
        """Read; return None, or the exception that ended it."""


class IWriteDescriptor(IFileDescriptor):
    """An object whose `doWrite` is called when its descriptor is writable."""

    def doWrite() -> Exception | None:
        """Write; return None, or the exception that ended it."""


class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor):
    """An object that is both."""


class IAddress(Interface):
    """One end of a connection."""


class IListeningPort(Interface):
    """A listening port."""

    def startListening() -> None:
        """Start to listen."""

    def stopListening() -> Deferred[None] | None:
        """Stop listening; return a Deferred, or None."""

    def getHost() -> IAddress:
        """Return its address: an IAddress."""


class IConnector(Interface):
    """Makes connections to one address."""

    def connect() -> None:
        """Connect again."""

    def stopConnecting() -> None:
        """Stop the attempt."""

    def disconnect() -> None:
        """End the connection, or the attempt."""

    def getDestination() -> IAddress:
        """Return the address to connect to: an IAddress."""


class ITCPTransport(ITransport):
    """A connection over TCP."""

    def abortConnection() -> None:
        """Cut the connection now."""

    def getTcpNoDelay() -> bool:
        """Return whether small writes are sent at once."""

    def setTcpNoDelay(enabled: bool) -> None:
        """Set whether small writes are sent at once."""

    def getTcpKeepAlive() -> bool:
        """Return whether the system probes an idle connection."""

    def setTcpKeepAlive(enabled: bool) -> None:
        """Set whether the system probes an idle connection."""


class ISSLTransport(ITCPTransport):
    """A connection through TLS."""

    def getPeerCertificate() -> crypto.X509 | None:
        """Return the certificate of the peer, or None."""


class IProcessTransport(ITransport):
    """A child process."""

    pid = Attribute("Its number, or None.")

    def signalProcess(signalID: str | int) -> None:
        """Send a signal to the process."""

    def closeStdin() -> None:
        """Close its standard input."""

    def closeChildFD(descriptor: int) -> None:
        """Close one of its pipes."""

    def writeToChild(childFD: int, data: bytes) -> None:
        """Write to one of its pipes."""
