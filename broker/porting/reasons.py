"""Why a name of Twisted is absent here, or differs: all reasons, and their names.

A name is written from its module on, as the walker shows it. ``*`` at the end matches absent names,
but not names that differ.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["INSTEAD", "REASONS", "matches", "patterns", "reason_of"]

_OWN_REACTOR = "For programs with their own reactor; here such a program has an asyncio event loop."
_DEPRECATING = "Twisted deprecates its own names with it; use warnings.warn."
_NAMES = "pkgutil.resolve_name finds an object by its name, importlib.import_module a module."
_TWISTD = "pb run runs the file of an application."

INSTEAD: dict[str, str] = {
    "twisted": "Ask Twisted itself for its version.",
    "twisted.__version__": "Ask Twisted itself for its version.",
    "twisted.internet.base.ReactorBase": _OWN_REACTOR,
    "twisted.internet.endpoints._parse": "clientFromString and serverFromString read descriptions.",
    "twisted.internet.gtk3reactor": (
        "GTK runs its own loop. PyGObject has an event loop for asyncio, gi.events; or a timer of "
        "GTK calls reactor.iterate."
    ),
    "twisted.internet.main.installReactor": _OWN_REACTOR,
    "twisted.internet.posixbase": _OWN_REACTOR,
    "twisted.internet.utils": "reactor.spawnProcess, or asyncio.create_subprocess_exec.",
    "twisted.logger.Logger": "logging.getLogger of the standard library.",
    "twisted.protocols.basic.LineOnlyReceiver": "A protocol other than Perspective Broker.",
    "twisted.python.compat.execfile": "exec(compile(text, name, 'exec')).",
    "twisted.python.components.proxyForInterface": "zope.proxy, or a class of the program.",
    "twisted.python.deprecate": _DEPRECATING,
    "twisted.python.deprecate.deprecatedModuleAttribute": _DEPRECATING,
    "twisted.python.logfile.LogFile": "logging.handlers.RotatingFileHandler.",
    "twisted.python.procutils.which": "shutil.which, which returns the first.",
    "twisted.python.reflect": _NAMES,
    "twisted.python.reflect.accumulateClassList": "A loop over cls.__mro__.",
    "twisted.python.reflect.namedModule": _NAMES,
    "twisted.python.reflect.namedObject": _NAMES,
    "twisted.python.runtime": "os.name, sys.platform.",
    "twisted.python.runtime.platformType": "os.name.",
    "twisted.python.usage": "Use click, as the command pb does.",
    "twisted.python.util": "Many small functions; the standard library has most of them.",
    "twisted.python.versions": _DEPRECATING,
    "twisted.python.versions.Version": _DEPRECATING,
    "twisted.python.win32.quoteArguments": "subprocess.list2cmdline.",
    "twisted.scripts.twistd": _TWISTD,
    "twisted.scripts.twistd.run": _TWISTD,
}
"""Names of other modules that programs use, and their replacements."""

REASONS: dict[str, str] = {
    # broker.pb
    "None means globalSecurity, which is looked up on use.": """
        twisted.spread.pb.Broker
        twisted.spread.jelly.unjelly
    """,
    "None means DummySecurityOptions(): any object may be sent.": """
        twisted.spread.jelly.jelly
    """,
    "A Broker has a session, and is not a subclass of a Banana or a Protocol; what both are called "
    "by, transports and subclasses, is there.": """
        twisted.spread.pb.Broker (bases)
    """,
    "Tables and numbers belong to the session; peers and programs reach objects through "
    "registerReference, localObjectForID and notifyOnFail.": """
        twisted.spread.pb.Broker.cacheRemotely
        twisted.spread.pb.Broker.connectionFailed
        twisted.spread.pb.Broker.decCacheRef
        twisted.spread.pb.Broker.maxBrokerRefsViolations
        twisted.spread.pb.Broker.newLocalID
        twisted.spread.pb.Broker.newRequestID
        twisted.spread.pb.Broker.remotelyCachedForLUID
        twisted.spread.pb.Broker.sendDecRef
        twisted.spread.pb.Broker.waitingForAnswers
    """,
    "One check validates all fields, their number and their types.": """
        twisted.spread.pb.Broker.proto_cachemessage
        twisted.spread.pb.Broker.proto_message
    """,
    "The last parameters may be left out.": """
        twisted.spread.pb.RemoteError
        twisted.spread.pb.RemoteReference
    """,
    "A table of the connection reads these tags, not a function.": """
        twisted.spread.flavors.unjellyCached
        twisted.spread.flavors.unjellyLCache
        twisted.spread.flavors.unjellyLocal
    """,
    "A FilePager reads its file itself, and is not a consumer.": """
        twisted.spread.util.FilePager.registerProducer
        twisted.spread.util.FilePager.startProducing
        twisted.spread.util.FilePager.unregisterProducer
        twisted.spread.util.FilePager.write
    """,
    "All keywords are passed to the called method, so this argument is positional.": """
        twisted.spread.util.LocalAsRemote.callRemote
        twisted.spread.util.LocalAsyncForwarder.callRemote
        twisted.internet.defer.DeferredLock.run
        twisted.internet.defer.DeferredSemaphore.run
    """,
    # jelly
    "A tuple that contains only dict, from a time with two dict types.": """
        twisted.spread.jelly.DictTypes
    """,
    "jelly does not use a reactor. The class has all methods of a protocol that transports "
    "and factories call.": """
        twisted.spread.banana.Banana (bases)
    """,
    "Partly read data is private to the reader.": """
        twisted.spread.banana.Banana.buffer
        twisted.spread.banana.Banana.gotItem
    """,
    "A variable that was left behind in the body of the class.": """
        twisted.spread.banana.Banana.k
        twisted.spread.banana.Banana.v
    """,
    "The parameter has another name; it is passed by position.": """
        twisted.spread.interfaces.IUnjellyable.unjellyFor
    """,
    # cred
    "There is no usage.Options; the command line uses click. See makeChecker.": """
        twisted.cred.strcred.AuthOptionMixin
    """,
    "The text is different.": """
        twisted.cred.strcred.notSupportedWarning
    """,
    # defer and failure
    "A lock between processes; take one of the operating system's.": """
        twisted.internet.defer.AlreadyTryingToLockError
        twisted.internet.defer.DeferredFilesystemLock
    """,
    "Part of Twisted's implementation, not of its behaviour.": """
        twisted.internet.defer.DebugInfo
        twisted.internet.defer.DeferredCallback
        twisted.internet.defer.DeferredErrback
        twisted.internet.defer.log
        twisted.internet.defer.passthru
        twisted.python.failure.DO_POST_MORTEM
        twisted.python.failure.EXCEPTION_CAUGHT_HERE
        twisted.python.failure.count
        twisted.python.failure.traceupLength
    """,
    "None means no keywords, as an empty dict does.": """
        twisted.internet.defer.Deferred.addCallbacks
    """,
    "A context can be passed too.": """
        twisted.internet.defer.Deferred.fromCoroutine
    """,
    "Python 3 has no string failures.": """
        twisted.python.failure.DefaultException
    """,
    "getTraceback and printTraceback format a Failure; use the module traceback for the rest.": """
        twisted.python.failure.format_frames
    """,
    "Debuggers stop at exceptions by themselves: python -m pdb.": """
        twisted.python.failure.startDebugMode
    """,
    # reactor
    "No UDP.": """
        twisted.internet.protocol.AbstractDatagramProtocol
        twisted.internet.protocol.ConnectedDatagramProtocol
        twisted.internet.protocol.DatagramProtocol
        twisted.internet.error.AlreadyListened
        twisted.internet.error.MessageLengthError
        twisted.internet.error.MulticastJoinError
        twisted.application.internet.MulticastServer
        twisted.application.internet.UDPServer
        twisted.application.internet.UNIXDatagramClient
        twisted.application.internet.UNIXDatagramServer
        twisted.internet.reactor.adoptDatagramPort
        twisted.internet.reactor.connectUNIXDatagram
        twisted.internet.reactor.listenMulticast
        twisted.internet.reactor.listenUDP
        twisted.internet.reactor.listenUNIXDatagram
    """,
    "Adapters between protocols and consumers, and a transport that is a file: not used by "
    "Perspective Broker.": """
        twisted.internet.protocol.ConsumerToProtocolAdapter
        twisted.internet.protocol.FileWrapper
        twisted.internet.protocol.ProtocolToConsumerAdapter
    """,
    "None means the same object, made when it is needed.": """
        twisted.internet.task.Cooperator
    """,
    "Twisted takes error texts from it; here str() of the error is the text.": """
        twisted.internet.error.AlreadyCalled.MESSAGE
        twisted.internet.error.AlreadyCancelled.MESSAGE
        twisted.internet.error.BadFileError.MESSAGE
        twisted.internet.error.BindError.MESSAGE
        twisted.internet.error.CertificateError.MESSAGE
        twisted.internet.error.ConnectBindError.MESSAGE
        twisted.internet.error.ConnectError.MESSAGE
        twisted.internet.error.ConnectionAborted.MESSAGE
        twisted.internet.error.ConnectionDone.MESSAGE
        twisted.internet.error.ConnectionLost.MESSAGE
        twisted.internet.error.ConnectionRefusedError.MESSAGE
        twisted.internet.error.DNSLookupError.MESSAGE
        twisted.internet.error.NoRouteError.MESSAGE
        twisted.internet.error.NotConnectingError.MESSAGE
        twisted.internet.error.NotListeningError.MESSAGE
        twisted.internet.error.ProcessDone.MESSAGE
        twisted.internet.error.ProcessTerminated.MESSAGE
        twisted.internet.error.SSLError.MESSAGE
        twisted.internet.error.ServiceNameUnknownError.MESSAGE
        twisted.internet.error.TCPTimedOutError.MESSAGE
        twisted.internet.error.TimeoutError.MESSAGE
        twisted.internet.error.UnknownHostError.MESSAGE
        twisted.internet.error.UserError.MESSAGE
    """,
    "Not raised here: ConnectError has the number of the operating system in osError, "
    "DNSLookupError means a name that does not resolve, TLSError a refused certificate.": """
        twisted.internet.error.ConnectInProgressError
        twisted.internet.error.ConnectionFdescWentAway
        twisted.internet.error.FileDescriptorOverrun
        twisted.internet.error.InvalidAddressError
        twisted.internet.error.PeerVerifyError
        twisted.internet.error.ReactorAlreadyInstalledError
        twisted.internet.error.UnsupportedAddressFamily
        twisted.internet.error.UnsupportedSocketType
        twisted.internet.error.VerifyError
        twisted.internet.ssl.VerificationError
    """,
    "stop ends it in order, and there is no other way to leave asyncio's loop.": """
        twisted.internet.reactor.crash
    """,
    "Names are resolved by the operating system.": """
        twisted.internet.reactor.installNameResolver
        twisted.internet.reactor.installResolver
        twisted.internet.reactor.nameResolver
    """,
    "A socket that another program opened is not taken over; listen on fd through asyncio.": """
        twisted.internet.endpoints.AdoptedStreamServerEndpoint
        twisted.internet.reactor.adoptStreamConnection
        twisted.internet.reactor.adoptStreamPort
    """,
    "Open files are not passed over a UNIX socket.": """
        twisted.internet.interfaces.IUNIXTransport.sendFileDescriptor
    """,
    "A connection ends in both directions at once: Perspective Broker needs both.": """
        twisted.internet.interfaces.ITCPTransport.loseWriteConnection
        twisted.internet.interfaces.ISSLTransport.loseWriteConnection
    """,
    "The parameter is named as in Twisted's process transport; the interface there has "
    "another name.": """
        twisted.internet.interfaces.IProcessTransport.writeSequence
    """,
    # ssl and endpoints
    "The results of listenSSL and connectSSL have the methods of IListeningPort and "
    "IConnector; their classes have no public names.": """
        twisted.internet.ssl.Client
        twisted.internet.ssl.Connector
        twisted.internet.ssl.Port
        twisted.internet.ssl.Server
    """,
    "OpenSSL gets the list, and chooses.": """
        twisted.internet.ssl.AcceptableCiphers.selectCiphers
    """,
    "A child process is connected by reactor.spawnProcess, or by broker.connect with pb+exec:.": """
        twisted.internet.endpoints.ProcessEndpoint
        twisted.internet.endpoints.StandardErrorBehavior
    """,
    "stdio.StandardIO connects the standard streams.": """
        twisted.internet.endpoints.StandardIOEndpoint
    """,
    "SSL4ServerEndpoint and listenSSL serve over TLS.": """
        twisted.internet.endpoints.wrapServerTLS
    """,
    # stdio
    "Passed on to the transport, which instances have once the streams are open.": """
        twisted.internet.stdio.StandardIO.disconnecting
        twisted.internet.stdio.StandardIO.getHost
        twisted.internet.stdio.StandardIO.getPeer
        twisted.internet.stdio.StandardIO.loseConnection
        twisted.internet.stdio.StandardIO.pauseProducing
        twisted.internet.stdio.StandardIO.registerProducer
        twisted.internet.stdio.StandardIO.resumeProducing
        twisted.internet.stdio.StandardIO.stopProducing
        twisted.internet.stdio.StandardIO.unregisterProducer
        twisted.internet.stdio.StandardIO.write
        twisted.internet.stdio.StandardIO.writeSequence
    """,
    "Twisted watches the two pipes with it; here asyncio does.": """
        twisted.internet.stdio.StandardIO.childConnectionLost
        twisted.internet.stdio.StandardIO.childDataReceived
        twisted.internet.stdio.StandardIO.connectionLost
        twisted.internet.stdio.StandardIO.disconnected
        twisted.internet.stdio.StandardIO.readConnectionLost
        twisted.internet.stdio.StandardIO.startReading
        twisted.internet.stdio.StandardIO.stopReading
        twisted.internet.stdio.StandardIO.writeConnectionLost
    """,
    "The two streams end together; see loseConnection.": """
        twisted.internet.stdio.StandardIO.loseWriteConnection
    """,
    # services
    "Plugins of twistd; here pb run takes a Python file that makes an application.": """
        twisted.application.service.IServiceMaker
        twisted.application.service.ServiceMaker
    """,
    "Applications are Python files, never pickles.": """
        twisted.application.service.loadApplication
        twisted.application.internet.SSLClient.volatile
        twisted.application.internet.SSLServer.volatile
        twisted.application.internet.TCPClient.volatile
        twisted.application.internet.TCPServer.volatile
        twisted.application.internet.TimerService.volatile
        twisted.application.internet.UNIXClient.volatile
        twisted.application.internet.UNIXServer.volatile
        twisted.python.components.Componentized.persistenceVersion
    """,
    "A task of asyncio does it, or task.Cooperator.": """
        twisted.application.internet.CooperatorService
    """,
    "Only FileSender is needed: the other names are protocols other than Perspective Broker.": """
        twisted.protocols.basic.*
    """,
    "Only registerAdapter and the lookup of its adapters are needed; zope.interface has the "
    "rest.": """
        twisted.python.components.ALLOW_DUPLICATES
        twisted.python.components.Adapter.isuper
        twisted.python.components.Adapter.multiComponent
        twisted.python.components.Adapter.temporaryAdapter
        twisted.python.components.Componentized.addAdapter
        twisted.python.components.Componentized.locateAdapterClass
        twisted.python.components.Componentized.setAdapter
        twisted.python.components.ReprableComponentized
        twisted.python.components.getRegistry
        twisted.python.components.globalRegistry
        twisted.python.components.proxyForInterface
    """,
    # log
    "logging of the standard library decides where a message goes; set handlers and levels "
    "there.": """
        twisted.python.log.DefaultObserver
        twisted.python.log.FileLogObserver.getTimezoneOffset
        twisted.python.log.ILogContext
        twisted.python.log.LogPublisher
        twisted.python.log.Logger
        twisted.python.log.NullFile
        twisted.python.log.StdioOnnaStick
        twisted.python.log.defaultObserver
        twisted.python.log.discardLogs
        twisted.python.log.logerr
        twisted.python.log.logfile
        twisted.python.log.showwarning
        twisted.python.log.theLogPublisher
    """,
}


def patterns() -> Iterator[tuple[str, str]]:
    """Yield each pattern of the table, and its reason."""
    for why, names in REASONS.items():
        for line in names.splitlines():
            if pattern := line.strip():
                yield pattern, why


def matches(pattern: str, name: str, is_absent: bool) -> bool:
    """Return whether a pattern matches a name, which is absent here or differs."""
    if pattern.endswith("*"):
        return is_absent and name.startswith(pattern[:-1])
    return pattern == name


def reason_of(name: str, is_absent: bool = True) -> str:
    """Return why a name is absent here, or differs; "" if the table does not have it."""
    return next((why for pattern, why in patterns() if matches(pattern, name, is_absent)), "")
