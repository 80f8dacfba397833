"""Published interfaces that programs implement or ask for, by `implementer` and `providedBy`."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

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


class IProducer(Interface):  # type: ignore[misc]
    """Writes to a consumer."""

    def stopProducing() -> None:  # type: ignore[misc]
        """Stop for good: the consumer is closed."""


class IPushProducer(IProducer):
    """A producer that writes by itself, and can be paused (`streaming` true)."""

    def pauseProducing() -> None:  # type: ignore[misc]
        """Write nothing until `resumeProducing`."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Go on writing."""


class IPullProducer(IProducer):
    """A producer that writes once for each request (`streaming` false)."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Write once."""


class IConsumer(Interface):  # type: ignore[misc]
    """The receiver of a producer's data; every transport is one."""

    def registerProducer(producer: Any, streaming: bool) -> None:
        """Register a producer; RuntimeError if one is registered already."""

    def unregisterProducer() -> None:  # type: ignore[misc]
        """Forget the producer."""

    def write(data: bytes) -> None:
        """Take data of the producer."""


class ITransport(Interface):  # type: ignore[misc]
    """A connection, as its protocol sees it."""

    def write(data: bytes) -> None:
        """Send after earlier writes."""

    def writeSequence(data: Any) -> None:
        """Join the pieces, and send them as one."""

    def loseConnection() -> None:  # type: ignore[misc]
        """Close once all bytes are sent."""

    def getPeer() -> Any:  # type: ignore[misc]
        """Return the address of the other end."""

    def getHost() -> Any:  # type: ignore[misc]
        """Return the address of this end."""


class IProtocol(Interface):  # type: ignore[misc]
    """One end of a stream connection."""

    def makeConnection(transport: Any) -> None:
        """Keep the transport, and call `connectionMade`."""

    def connectionMade() -> None:  # type: ignore[misc]
        """Handle the new connection."""

    def dataReceived(data: bytes) -> None:
        """Handle incoming bytes, split at any position."""

    def connectionLost(reason: Any) -> None:
        """Handle the end of the connection; `reason` is a Failure."""


class IProtocolFactory(Interface):  # type: ignore[misc]
    """Makes the protocol of each connection."""

    def buildProtocol(addr: Any) -> Any:
        """Return a protocol, or None to refuse the connection."""

    def doStart() -> None:  # type: ignore[misc]
        """Count one more port or connector as a user of this factory."""

    def doStop() -> None:  # type: ignore[misc]
        """Count one user less."""


class IStreamClientEndpoint(Interface):  # type: ignore[misc]
    """An address to connect to."""

    def connect(protocolFactory: Any) -> Any:
        """Return a Deferred of the protocol, once it is connected."""


class IStreamServerEndpoint(Interface):  # type: ignore[misc]
    """An address to listen at."""

    def listen(protocolFactory: Any) -> Any:
        """Return a Deferred of the port."""


class IReactorCore(Interface):  # type: ignore[misc]
    """Starts, stops and runs a reactor."""

    running = Attribute("Whether it runs.")

    def run() -> None:  # type: ignore[misc]
        """Run until `stop`."""

    def stop() -> None:  # type: ignore[misc]
        """End `run`."""

    def iterate(delay: float) -> None:
        """Run one turn of the loop."""

    def resolve(name: str, timeout: Any) -> Any:
        """Return a Deferred of an IPv4 address."""

    def fireSystemEvent(eventType: str) -> None:
        """Fire an event."""

    def addSystemEventTrigger(
        phase: str, eventType: str, callable: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Call when an event happens."""

    def removeSystemEventTrigger(triggerID: Any) -> None:
        """Remove such a call."""

    def callWhenRunning(callable: Any, *args: Any, **kwargs: Any) -> Any:
        """Call as soon as the reactor runs."""


class IReactorTime(Interface):  # type: ignore[misc]
    """Makes delayed calls."""

    def seconds() -> Any:  # type: ignore[misc]
        """Return the time, in seconds."""

    def callLater(delay: float, callable: Any, *args: Any, **kw: Any) -> Any:
        """Call after a number of seconds; return an IDelayedCall."""

    def getDelayedCalls() -> Any:  # type: ignore[misc]
        """Return the pending calls."""


class IDelayedCall(Interface):  # type: ignore[misc]
    """A call that waits for its time."""

    def getTime() -> Any:  # type: ignore[misc]
        """Return when it will be made."""

    def cancel() -> None:  # type: ignore[misc]
        """Cancel it."""

    def delay(secondsLater: float) -> None:
        """Move it by a number of seconds."""

    def reset(secondsFromNow: float) -> None:
        """Move it to a number of seconds from now."""

    def active() -> Any:  # type: ignore[misc]
        """Return whether it is pending."""


class IReactorFromThreads(Interface):  # type: ignore[misc]
    """Takes calls from other threads."""

    def callFromThread(callable: Any, *args: Any, **kwargs: Any) -> None:
        """Call in the loop's thread."""


class IReactorInThreads(Interface):  # type: ignore[misc]
    """Makes calls in other threads."""

    def callInThread(callable: Any, *args: Any, **kwargs: Any) -> None:
        """Call in a thread of the pool."""


class IReactorThreads(IReactorFromThreads, IReactorInThreads):
    """Calls from and to other threads."""

    def getThreadPool() -> Any:  # type: ignore[misc]
        """Return the thread pool."""

    def suggestThreadPoolSize(size: int) -> None:
        """Set how many calls may run at once."""


class IReactorTCP(Interface):  # type: ignore[misc]
    """Listens and connects over TCP."""

    def listenTCP(port: int, factory: Any, backlog: int, interface: str) -> Any:
        """Listen; return an IListeningPort."""

    def connectTCP(host: str, port: int, factory: Any, timeout: float, bindAddress: Any) -> Any:
        """Connect; return an IConnector."""


class IReactorSSL(Interface):  # type: ignore[misc]
    """Listens and connects over TLS."""

    def listenSSL(
        port: int, factory: Any, contextFactory: Any, backlog: int, interface: str
    ) -> Any:
        """Listen; return an IListeningPort."""

    def connectSSL(
        host: str, port: int, factory: Any, contextFactory: Any, timeout: float, bindAddress: Any
    ) -> Any:
        """Connect; return an IConnector."""


class IReactorUNIX(Interface):  # type: ignore[misc]
    """Listens and connects over UNIX sockets."""

    def listenUNIX(address: str, factory: Any, backlog: int, mode: int, wantPID: int) -> Any:
        """Listen; return an IListeningPort."""

    def connectUNIX(address: str, factory: Any, timeout: float, checkPID: int) -> Any:
        """Connect; return an IConnector."""


class IReactorProcess(Interface):  # type: ignore[misc]
    """Runs other programs."""

    def spawnProcess(
        processProtocol: Any,
        executable: Any,
        args: Any,
        env: Any,
        path: Any,
        uid: Any,
        gid: Any,
        usePTY: Any,
        childFDs: Any,
    ) -> Any:
        """Run a program; return its transport."""


class IReactorFDSet(Interface):  # type: ignore[misc]
    """Watches descriptors for a program."""

    def addReader(descriptor: Any) -> None:
        """Watch an IReadDescriptor."""

    def addWriter(descriptor: Any) -> None:
        """Watch an IWriteDescriptor."""

    def removeReader(descriptor: Any) -> None:
        """Stop watching an IReadDescriptor."""

    def removeWriter(descriptor: Any) -> None:
        """Stop watching an IWriteDescriptor."""

    def removeAll() -> Any:  # type: ignore[misc]
        """Stop watching all of them; return those that were watched."""

    def getReaders() -> Any:  # type: ignore[misc]
        """Return the watched readers."""

    def getWriters() -> Any:  # type: ignore[misc]
        """Return the watched writers."""


class IFileDescriptor(Interface):  # type: ignore[misc]
    """An object that a reactor can watch."""

    def fileno() -> Any:  # type: ignore[misc]
        """Return the descriptor; less than 0 if it is closed."""

    def connectionLost(reason: Any) -> None:
        """Handle the end; `reason` is a Failure."""


class IReadDescriptor(IFileDescriptor):
    """An object whose `doRead` is called when its descriptor is readable."""

    def doRead() -> Any:  # type: ignore[misc]
        """Read; return None, or the exception that ended it."""


class IWriteDescriptor(IFileDescriptor):
    """An object whose `doWrite` is called when its descriptor is writable."""

    def doWrite() -> Any:  # type: ignore[misc]
        """Write; return None, or the exception that ended it."""


class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor):
    """An object that is both."""


class IAddress(Interface):  # type: ignore[misc]
    """One end of a connection."""


class IListeningPort(Interface):  # type: ignore[misc]
    """A listening port."""

    def startListening() -> None:  # type: ignore[misc]
        """Start to listen."""

    def stopListening() -> Any:  # type: ignore[misc]
        """Stop listening; return a Deferred, or None."""

    def getHost() -> Any:  # type: ignore[misc]
        """Return its address: an IAddress."""


class IConnector(Interface):  # type: ignore[misc]
    """Makes connections to one address."""

    def connect() -> None:  # type: ignore[misc]
        """Connect again."""

    def stopConnecting() -> None:  # type: ignore[misc]
        """Stop the attempt."""

    def disconnect() -> None:  # type: ignore[misc]
        """End the connection, or the attempt."""

    def getDestination() -> Any:  # type: ignore[misc]
        """Return the address to connect to: an IAddress."""


class ITCPTransport(ITransport):
    """A connection over TCP."""

    def abortConnection() -> None:  # type: ignore[misc]
        """Cut the connection now."""

    def getTcpNoDelay() -> Any:  # type: ignore[misc]
        """Return whether small writes are sent at once."""

    def setTcpNoDelay(enabled: bool) -> None:
        """Set whether small writes are sent at once."""

    def getTcpKeepAlive() -> Any:  # type: ignore[misc]
        """Return whether the system probes an idle connection."""

    def setTcpKeepAlive(enabled: bool) -> None:
        """Set whether the system probes an idle connection."""


class ISSLTransport(ITCPTransport):
    """A connection through TLS."""

    def getPeerCertificate() -> Any:  # type: ignore[misc]
        """Return the certificate of the peer, or None."""


class IProcessTransport(ITransport):
    """A child process."""

    pid = Attribute("Its number, or None.")

    def signalProcess(signalID: Any) -> None:
        """Send a signal to the process."""

    def closeStdin() -> None:  # type: ignore[misc]
        """Close its standard input."""

    def closeChildFD(descriptor: int) -> None:
        """Close one of its pipes."""

    def writeToChild(childFD: int, data: bytes) -> None:
        """Write to one of its pipes."""
