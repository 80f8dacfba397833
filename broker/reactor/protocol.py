"""Published names of `twisted.internet.protocol`: bases of protocols and factories."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from broker.backoff import longer_delay, varied_delay
from broker.defer import Deferred
from broker.failure import Failure
from broker.net.transports import StreamProtocol
from broker.reactor.engine.installed import default
from broker.reactor.engine.processes import ProcessProtocol
from broker.reactor.engine.protocol_bases import (
    BaseProtocol,
    ClientFactory,
    Factory,
    Protocol,
    ServerFactory,
    connectionDone,
)
from broker.reactor.error import NotConnectingError
from broker.reactor.typed import (
    Binding,
    Clock,
    Connector,
    ContextFactory,
    DelayedCall,
    TimedNetworkReactor,
)

__all__ = [
    "BaseProtocol",
    "ClientCreator",
    "ClientFactory",
    "Factory",
    "ProcessProtocol",
    "Protocol",
    "ReconnectingClientFactory",
    "ServerFactory",
    "connectionDone",
]

logger = logging.getLogger("broker.reactor")

P = TypeVar("P", bound=StreamProtocol)


class ReconnectingClientFactory(ClientFactory):
    """Connects again when an attempt has failed or the connection has ended (published).

    The delays grow by `factor`, each with a random part, so that the clients of a restarted server
    do not all connect at once. `buildProtocol` of a subclass, or its protocol, calls `resetDelay`
    when the connection works.

    Attributes:
        maxDelay: the limit of a delay in seconds, before the random part.
        initialDelay, delay: the first delay in seconds, and the next one.
        factor: the ratio of a delay to the one before.
        jitter: the standard deviation of a delay, as a part of it; 0 or None for no random part.
        retries, maxRetries: the number of attempts since `resetDelay`, and its limit; None for no
            limit.
        continueTrying: whether it tries again.
        clock: makes the delayed calls; None means `broker.reactor`.
        connector: makes the connections.
    """

    maxDelay: float = 3600
    initialDelay: float = 1.0
    factor: float = 2.718281828459045
    jitter: float | None = 0.119626565582
    delay: float = initialDelay
    retries: int = 0
    maxRetries: int | None = None
    continueTrying: int = 1
    clock: Clock | None = None
    connector: Connector | None = None
    _callID: DelayedCall | None = None

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Try again after a delay (published)."""
        if self.continueTrying:
            self.connector = connector
            self.retry()

    def clientConnectionLost(self, connector: Any, unused_reason: Failure) -> None:
        """Connect again after a delay (published)."""
        if self.continueTrying:
            self.connector = connector
            self.retry()

    def retry(self, connector: Connector | None = None) -> None:
        """Connect after the next delay, unless `maxRetries` is reached (published).

        Raises:
            ValueError: no connector is given, and none is known.
        """
        if not self.continueTrying:
            self._say("Not connecting %s: it was told to stop", connector)
            return
        connector = self.connector if connector is None else connector
        if connector is None:
            raise ValueError("no connector to try again with")
        self.retries += 1
        if self.maxRetries is not None and self.retries > self.maxRetries:
            self._say("Not connecting %s any more after %d tries", connector, self.retries)
            return
        delay = self.delay
        if self.jitter:
            delay = varied_delay(delay, self.jitter)
        self.delay = longer_delay(delay, factor=self.factor, most=self.maxDelay)
        self._say("%s connects again in %.1f s", connector, delay)
        self._callID = (self.clock or default).callLater(delay, self._connect, connector)

    def stopTrying(self) -> None:
        """Stop the current attempt and make no others (published)."""
        call, self._callID = self._callID, None
        if call is not None:
            call.cancel()
        self.continueTrying = 0
        if self.connector is not None:
            try:
                self.connector.stopConnecting()
            except NotConnectingError:
                return

    def resetDelay(self) -> None:
        """Reset the delays; call this when a connection works (published)."""
        self.delay = self.initialDelay
        self._callID = None
        self.retries = 0
        self.continueTrying = 1

    def _connect(self, connector: Connector) -> None:
        self._callID = None
        connector.connect()

    def _say(self, text: str, *args: object) -> None:
        if self.noisy:
            logger.info(text, *args)


class ClientCreator(Generic[P]):
    """Makes single connections without a factory (published).

    Args:
        reactor: makes the connections.
        protocolClass, args, kwargs: make the protocol.

    Each method returns a Deferred that fires with the protocol once it is connected, and fails if
    no connection can be made. Cancelling it stops the attempt.
    """

    def __init__(
        self,
        reactor: TimedNetworkReactor,
        protocolClass: Callable[..., P],
        *args: object,
        **kwargs: object,
    ):
        self.reactor = reactor
        self.protocolClass = protocolClass
        self.args = args
        self.kwargs = kwargs

    def connectTCP(
        self,
        host: str,
        port: int,
        timeout: float | None = 30,
        bindAddress: Binding = None,
    ) -> Deferred[P]:
        """Connect as the reactor's `connectTCP` does (published)."""
        return self._connect(
            lambda factory: self.reactor.connectTCP(host, port, factory, timeout, bindAddress)
        )

    def connectSSL(
        self,
        host: str,
        port: int,
        contextFactory: ContextFactory,
        timeout: float | None = 30,
        bindAddress: Binding = None,
    ) -> Deferred[P]:
        """Connect as the reactor's `connectSSL` does (published)."""
        return self._connect(
            lambda factory: self.reactor.connectSSL(
                host, port, factory, contextFactory, timeout, bindAddress
            )
        )

    def connectUNIX(
        self, address: str, timeout: float | None = 30, checkPID: int = False
    ) -> Deferred[P]:
        """Connect as the reactor's `connectUNIX` does (published)."""
        return self._connect(
            lambda factory: self.reactor.connectUNIX(address, factory, timeout, checkPID)
        )

    def _connect(self, connect: Callable[[ClientFactory], Connector]) -> Deferred[P]:
        def cancel(_: object) -> None:
            factory.forget()
            connector.disconnect()

        deferred: Deferred[P] = Deferred(cancel)
        factory = _OneProtocol(
            self.reactor, self.protocolClass(*self.args, **self.kwargs), deferred
        )
        connector = connect(factory)
        return deferred


class _OneProtocol(ClientFactory):
    """The factory of one protocol; fires a Deferred when it is connected."""

    noisy = False

    def __init__(self, reactor: Clock, instance: StreamProtocol, deferred: Deferred[Any]):
        self._reactor = reactor
        self._instance = instance
        self._deferred: Deferred[Any] | None = deferred

    def buildProtocol(self, addr: object) -> StreamProtocol:
        # In the next turn of the loop the protocol has its transport.
        self._reactor.callLater(0, self._fire, Deferred.callback, self._instance)
        return self._instance

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._fire(Deferred.errback, reason)

    def forget(self) -> None:
        """Drop the Deferred without firing it."""
        self._deferred = None

    def _fire(
        self, how: Callable[[Deferred[Any], object], None], outcome: StreamProtocol | Failure
    ) -> None:
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            how(deferred, outcome)
