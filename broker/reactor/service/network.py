"""Services that listen, connect, or repeat a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure
from broker.reactor import log
from broker.reactor.engine.installed import default
from broker.reactor.service.services import Service
from broker.reactor.task import LoopingCall
from broker.reactor.typed import (
    Connector,
    ListeningPort,
    ProtocolFactory,
    ServerEndpoint,
    TimeReactor,
)

__all__ = [
    "SSLClient",
    "SSLServer",
    "StreamServerEndpointService",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "UNIXClient",
    "UNIXServer",
]


class _Server(Service):
    """Listens while it runs, by a ``listen…`` method of the reactor with the given arguments.

    Args:
        args, kwargs: passed to that method, except for ``reactor=``, the reactor to use.
    """

    method: ClassVar[str]

    def __init__(self, *args: object, **kwargs: object):
        self.reactor = kwargs.pop("reactor", None)
        self.args = args
        self.kwargs = kwargs
        self._port: ListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Open the port (published).

        Raises:
            CannotListenError: from the reactor's method.
        """
        super().privilegedStartService()
        self._port = self._listen()

    def startService(self) -> None:
        """Open the port, unless it is open already (published)."""
        super().startService()
        if self._port is None:
            self._port = self._listen()

    def stopService(self) -> Deferred[object] | None:
        """Close the port; connections stay open (published).

        Returns:
            A Deferred that fires when it is closed; None if it was not open.
        """
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def _listen(self) -> ListeningPort:
        reactor = default if self.reactor is None else self.reactor
        port: ListeningPort = getattr(reactor, f"listen{self.method}")(*self.args, **self.kwargs)
        return port


class TCPServer(_Server):
    """`reactor.listenTCP`, while it runs (published)."""

    method = "TCP"


class SSLServer(_Server):
    """`reactor.listenSSL`, while it runs (published)."""

    method = "SSL"


class UNIXServer(_Server):
    """`reactor.listenUNIX`, while it runs (published)."""

    method = "UNIX"


class _Client(Service):
    """Connects when it starts, by a ``connect…`` method of the reactor with the given arguments.

    Args:
        args, kwargs: passed to that method, except for ``reactor=``, the reactor to use.
    """

    method: ClassVar[str]

    def __init__(self, *args: object, **kwargs: object):
        self.reactor = kwargs.pop("reactor", None)
        self.args = args
        self.kwargs = kwargs
        self._connection: Connector | None = None

    def startService(self) -> None:
        """Begin to connect (published)."""
        super().startService()
        reactor = default if self.reactor is None else self.reactor
        self._connection = getattr(reactor, f"connect{self.method}")(*self.args, **self.kwargs)

    def stopService(self) -> None:
        """Stop the attempt, or close the connection (published)."""
        super().stopService()
        if self._connection is not None:
            self._connection.disconnect()


class TCPClient(_Client):
    """`reactor.connectTCP`, when it starts (published)."""

    method = "TCP"


class SSLClient(_Client):
    """`reactor.connectSSL`, when it starts (published)."""

    method = "SSL"


class UNIXClient(_Client):
    """`reactor.connectUNIX`, when it starts (published)."""

    method = "UNIX"


class TimerService(Service):
    """Calls a function when it starts, and then every `step` seconds while it runs (published).

    The next call waits for the Deferred of the last one. An exception of the function is logged,
    and ends the calls.

    Args:
        step: seconds.
        callable, args, kwargs: the call.

    Attributes:
        clock: an object with `callLater` and `seconds`; None means the reactor.
    """

    clock: TimeReactor | None = None

    def __init__(
        self, step: float, callable: Callable[..., object], *args: object, **kwargs: object
    ):
        self.step = step
        self.call = (callable, args, kwargs)
        self._loop: LoopingCall | None = None
        self._loop_finished: Deferred[Any] | None = None

    def startService(self) -> None:
        """Make the first call, and repeat it (published)."""
        super().startService()
        function, args, kwargs = self.call
        self._loop = loop = LoopingCall(function, *args, **kwargs)
        loop.clock = default if self.clock is None else self.clock
        self._loop_finished = loop.start(self.step, now=True)
        self._loop_finished.addErrback(self._failed)

    def stopService(self) -> Deferred[Any]:
        """Stop the calls; the Deferred fires when the last call has ended (published)."""
        loop, finished = self._loop, self._loop_finished
        if loop is None or finished is None:
            return maybeDeferred(super().stopService)
        if loop.running:
            loop.stop()
        return finished.addCallback(lambda _: Service.stopService(self))

    def _failed(self, why: Failure) -> None:
        if self._loop is not None:
            self._loop.running = False
        _log(why)


class StreamServerEndpointService(Service):
    """Listens at an endpoint while it runs (published).

    Args:
        endpoint: of `broker.reactor.endpoints`, or an object with its `listen`.
        factory: makes the protocols.
    """

    # True for a service of `strports.service`: its first start raises errors and does not log them.
    _raiseSynchronously = False

    def __init__(self, endpoint: ServerEndpoint, factory: ProtocolFactory):
        self.endpoint = endpoint
        self.factory = factory
        self._waiting: Deferred[ListeningPort] | None = None

    def privilegedStartService(self) -> None:
        """Begin to listen; a failure is logged (published)."""
        super().privilegedStartService()
        raises, self._raiseSynchronously = self._raiseSynchronously, False
        now: list[Failure] = []
        self._waiting = maybeDeferred(self.endpoint.listen, self.factory)
        self._waiting.addErrback(lambda why: now.append(why) if raises else _log(why))
        raises = False
        if now:
            now[0].raiseException()

    def startService(self) -> None:
        """Begin to listen, unless that was done already (published)."""
        super().startService()
        if self._waiting is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[Any]:
        """Close the port; the Deferred fires with whether it was open (published)."""
        super().stopService()
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return maybeDeferred(lambda: False)
        waiting.cancel()
        return waiting.addCallback(self._close)

    @staticmethod
    def _close(port: ListeningPort | None) -> Any:
        if port is None:
            return False
        return maybeDeferred(port.stopListening).addCallback(lambda _: True)


def _log(why: Failure) -> None:
    log.err(why)
