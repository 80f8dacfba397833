"""Published interfaces of what programs write and get: `implementer` and `providedBy` know them."""

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
    """What fills a consumer."""

    def stopProducing() -> None:  # type: ignore[misc]
        """Stop for good: the consumer has gone."""


class IPushProducer(IProducer):
    """A producer that writes by itself, and can be told to wait (`streaming` true)."""

    def pauseProducing() -> None:  # type: ignore[misc]
        """Write nothing until `resumeProducing`."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Go on writing."""


class IPullProducer(IProducer):
    """A producer that writes once each time it is asked (`streaming` false)."""

    def resumeProducing() -> None:  # type: ignore[misc]
        """Write once."""


class IConsumer(Interface):  # type: ignore[misc]
    """What a producer fills; every transport is one."""

    def registerProducer(producer: Any, streaming: bool) -> None:
        """Take a producer; RuntimeError where there is one already."""

    def unregisterProducer() -> None:  # type: ignore[misc]
        """Forget the producer."""

    def write(data: bytes) -> None:
        """Take what it has made."""


class ITransport(Interface):  # type: ignore[misc]
    """A connection, as its protocol sees it."""

    def write(data: bytes) -> None:
        """Send after what was written before."""

    def writeSequence(data: Any) -> None:
        """Send the pieces, in one piece."""

    def loseConnection() -> None:  # type: ignore[misc]
        """Close once all is sent."""

    def getPeer() -> Any:  # type: ignore[misc]
        """Return the address of the other end."""

    def getHost() -> Any:  # type: ignore[misc]
        """Return the address of this end."""


class IProtocol(Interface):  # type: ignore[misc]
    """One end of a stream connection."""

    def makeConnection(transport: Any) -> None:
        """Take the transport, and call `connectionMade`."""

    def connectionMade() -> None:  # type: ignore[misc]
        """The connection is there."""

    def dataReceived(data: bytes) -> None:
        """Bytes have come in, cut anywhere."""

    def connectionLost(reason: Any) -> None:
        """The connection has ended: `reason` is a Failure."""


class IProtocolFactory(Interface):  # type: ignore[misc]
    """What makes the protocol of each connection."""

    def buildProtocol(addr: Any) -> Any:
        """Return a protocol, or None to refuse the connection."""

    def doStart() -> None:  # type: ignore[misc]
        """One more port or connector uses this factory."""

    def doStop() -> None:  # type: ignore[misc]
        """One port or connector less uses this factory."""


class IStreamClientEndpoint(Interface):  # type: ignore[misc]
    """A place to connect to."""

    def connect(protocolFactory: Any) -> Any:
        """Return a Deferred of the protocol, once it is connected."""


class IStreamServerEndpoint(Interface):  # type: ignore[misc]
    """A place to listen at."""

    def listen(protocolFactory: Any) -> Any:
        """Return a Deferred of the port."""


class IReactorCore(Interface):  # type: ignore[misc]
    """What begins, ends and turns a reactor."""

    running = Attribute("Whether it runs.")

    def run() -> None:  # type: ignore[misc]
        """Run until `stop`."""

    def stop() -> None:  # type: ignore[misc]
        """End `run`."""

    def iterate(delay: float) -> None:
        """Turn the loop once."""

    def resolve(name: str, timeout: Any) -> Any:
        """Return a Deferred of an IPv4 address."""

    def fireSystemEvent(eventType: str) -> None:
        """Let an event happen."""

    def addSystemEventTrigger(
        phase: str, eventType: str, callable: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Call when an event happens."""

    def removeSystemEventTrigger(triggerID: Any) -> None:
        """Do not."""

    def callWhenRunning(callable: Any, *args: Any, **kwargs: Any) -> Any:
        """Call as soon as it runs."""


class IReactorTime(Interface):  # type: ignore[misc]
    """What makes calls later."""

    def seconds() -> Any:  # type: ignore[misc]
        """Return the time, in seconds."""

    def callLater(delay: float, callable: Any, *args: Any, **kw: Any) -> Any:
        """Call so many seconds from now; return an IDelayedCall."""

    def getDelayedCalls() -> Any:  # type: ignore[misc]
        """Return those that wait."""


class IDelayedCall(Interface):  # type: ignore[misc]
    """A call that waits for its time."""

    def getTime() -> Any:  # type: ignore[misc]
        """Return when it will be made."""

    def cancel() -> None:  # type: ignore[misc]
        """Do not make it."""

    def delay(secondsLater: float) -> None:
        """Make it so much later."""

    def reset(secondsFromNow: float) -> None:
        """Make it so long from now."""

    def active() -> Any:  # type: ignore[misc]
        """Return whether it is still to be made."""


class IReactorFromThreads(Interface):  # type: ignore[misc]
    """What takes calls from other threads."""

    def callFromThread(callable: Any, *args: Any, **kwargs: Any) -> None:
        """Call in the loop's thread."""


class IReactorInThreads(Interface):  # type: ignore[misc]
    """What makes calls in other threads."""

    def callInThread(callable: Any, *args: Any, **kwargs: Any) -> None:
        """Call in a thread of the pool."""


class IReactorThreads(IReactorFromThreads, IReactorInThreads):
    """What deals with threads."""

    def getThreadPool() -> Any:  # type: ignore[misc]
        """Return the pool."""

    def suggestThreadPoolSize(size: int) -> None:
        """Let so many calls run at once."""


class IReactorTCP(Interface):  # type: ignore[misc]
    """What listens and connects over TCP."""

    def listenTCP(port: int, factory: Any, backlog: int, interface: str) -> Any:
        """Listen; return an IListeningPort."""

    def connectTCP(host: str, port: int, factory: Any, timeout: float, bindAddress: Any) -> Any:
        """Connect; return an IConnector."""


class IReactorSSL(Interface):  # type: ignore[misc]
    """What listens and connects over TLS."""

    def listenSSL(
        port: int, factory: Any, contextFactory: Any, backlog: int, interface: str
    ) -> Any:
        """Listen; return an IListeningPort."""

    def connectSSL(
        host: str, port: int, factory: Any, contextFactory: Any, timeout: float, bindAddress: Any
    ) -> Any:
        """Connect; return an IConnector."""


class IReactorUNIX(Interface):  # type: ignore[misc]
    """What listens and connects over UNIX sockets."""

    def listenUNIX(address: str, factory: Any, backlog: int, mode: int, wantPID: int) -> Any:
        """Listen; return an IListeningPort."""

    def connectUNIX(address: str, factory: Any, timeout: float, checkPID: int) -> Any:
        """Connect; return an IConnector."""


class IReactorProcess(Interface):  # type: ignore[misc]
    """What runs other programs."""

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
    """What watches descriptors for a program."""

    def addReader(descriptor: Any) -> None:
        """Watch an IReadDescriptor."""

    def addWriter(descriptor: Any) -> None:
        """Watch an IWriteDescriptor."""

    def removeReader(descriptor: Any) -> None:
        """Do not."""

    def removeWriter(descriptor: Any) -> None:
        """Do not."""

    def removeAll() -> Any:  # type: ignore[misc]
        """Watch none any more; return those that were."""

    def getReaders() -> Any:  # type: ignore[misc]
        """Return those that are read."""

    def getWriters() -> Any:  # type: ignore[misc]
        """Return those that are written."""


class IFileDescriptor(Interface):  # type: ignore[misc]
    """What a reactor can watch."""

    def fileno() -> Any:  # type: ignore[misc]
        """Return the descriptor; less than 0 where it is closed."""

    def connectionLost(reason: Any) -> None:
        """It has ended: `reason` is a Failure."""


class IReadDescriptor(IFileDescriptor):
    """What is called when there is something to read."""

    def doRead() -> Any:  # type: ignore[misc]
        """Read; return None, or the exception that it has ended with."""


class IWriteDescriptor(IFileDescriptor):
    """What is called when bytes can be written."""

    def doWrite() -> Any:  # type: ignore[misc]
        """Write; return None, or the exception that it has ended with."""


class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor):
    """What is both."""


class IAddress(Interface):  # type: ignore[misc]
    """One end of a connection."""


class IListeningPort(Interface):  # type: ignore[misc]
    """What listens."""

    def startListening() -> None:  # type: ignore[misc]
        """Listen."""

    def stopListening() -> Any:  # type: ignore[misc]
        """Do not; return a Deferred, or None."""

    def getHost() -> Any:  # type: ignore[misc]
        """Return where: an IAddress."""


class IConnector(Interface):  # type: ignore[misc]
    """What connects."""

    def connect() -> None:  # type: ignore[misc]
        """Connect again."""

    def stopConnecting() -> None:  # type: ignore[misc]
        """Give the attempt up."""

    def disconnect() -> None:  # type: ignore[misc]
        """End the connection, or the attempt."""

    def getDestination() -> Any:  # type: ignore[misc]
        """Return whereto: an IAddress."""


class ITCPTransport(ITransport):
    """A connection over TCP."""

    def abortConnection() -> None:  # type: ignore[misc]
        """Cut it now."""

    def getTcpNoDelay() -> Any:  # type: ignore[misc]
        """Return whether small pieces are sent at once."""

    def setTcpNoDelay(enabled: bool) -> None:
        """Set that."""

    def getTcpKeepAlive() -> Any:  # type: ignore[misc]
        """Return whether the system asks for signs of life."""

    def setTcpKeepAlive(enabled: bool) -> None:
        """Set that."""


class ISSLTransport(ITCPTransport):
    """A connection through TLS."""

    def getPeerCertificate() -> Any:  # type: ignore[misc]
        """Return what the peer has shown, or None."""


class IProcessTransport(ITransport):
    """A child process."""

    pid = Attribute("Its number, or None.")

    def signalProcess(signalID: Any) -> None:
        """Send it a signal."""

    def closeStdin() -> None:  # type: ignore[misc]
        """Let it see the end of its input."""

    def closeChildFD(descriptor: int) -> None:
        """Close one of its pipes."""

    def writeToChild(childFD: int, data: bytes) -> None:
        """Write to one of them."""
