"""ClientService: one connection to an endpoint, made again whenever it is lost.

Theory of operation. A running service is in one of four states: *connecting* (`_attempt` is the
Deferred of the endpoint or of the preparation), *connected* (`_protocol`), *waiting* (`_retry` is a
delayed call) or *stopping* (`_stopping` has the Deferreds that fire when the connection is closed).
A service that is started while it stops connects again after that.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from broker.backoff import grown_delay
from broker.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from broker.failure import Failure
from broker.net.transports import StreamProtocol
from broker.printable import printable, repr_of
from broker.reactor import log
from broker.reactor.engine.installed import default
from broker.reactor.service.services import Service
from broker.reactor.typed import ClientEndpoint, Clock, DelayedCall, ProtocolFactory

__all__ = ["ClientService", "backoffPolicy"]


def backoffPolicy(
    initialDelay: float = 1.0,
    maxDelay: float = 60.0,
    factor: float = 1.5,
    jitter: Callable[[], float] = random.random,
) -> Callable[[int], float]:
    """Return a function from the number of failed attempts to a delay in seconds (published).

    Args:
        initialDelay: seconds, multiplied by `factor` for each failed attempt.
        maxDelay: the limit of that product.
        factor: the ratio of a delay to the one before.
        jitter: returns seconds to add, so that clients do not all connect at once.
    """

    def delay(attempt: int) -> float:
        return grown_delay(attempt, first=initialDelay, factor=factor, most=maxDelay) + jitter()

    return delay


class _Waiter(Struct):
    """A Deferred that waits for a connection, and the number of failures that ends the wait."""

    deferred: Deferred[object]
    failures_left: int | None


class ClientService(Service):
    """Keeps a connection to an endpoint while it runs (published).

    Args:
        endpoint: of `broker.reactor.endpoints`, or an object with its `connect`.
        factory: makes the protocols.
        retryPolicy: called with the number of failed attempts, returns the seconds until the next
            one; default `backoffPolicy()`.
        clock: an object with `callLater`; default the reactor.
        prepareConnection: called with each new protocol before it is given out. A Deferred that it
            returns is waited for. If it fails, the connection is closed and counts as a failed
            attempt.
    """

    def __init__(
        self,
        endpoint: ClientEndpoint,
        factory: ProtocolFactory,
        retryPolicy: Callable[[int], float] | None = None,
        clock: Clock | None = None,
        prepareConnection: Callable[[Any], object] | None = None,
    ):
        self._endpoint = endpoint
        self._factory = factory
        self._policy = backoffPolicy() if retryPolicy is None else retryPolicy
        self._clock = default if clock is None else clock
        self._prepare = prepareConnection
        self._failures = 0
        self._is_stopped = False
        self._waiters: list[_Waiter] = []
        self._stopping: list[Deferred[None]] = []
        self._attempt: Deferred[object] | None = None
        self._retry: DelayedCall | None = None
        self._watched: _Watched | None = None
        self._protocol: StreamProtocol | None = None

    def whenConnected(self, failAfterFailures: int | None = None) -> Deferred[Any]:
        """Return a Deferred of the protocol of this connection, or of the next one (published).

        Args:
            failAfterFailures: fail with the reason after this number of failed attempts from now;
                None means no limit.

        It fails with CancelledError when the service is stopped, or has been.
        """
        if self._protocol is not None and self.running:
            return succeed(self._protocol)
        if self._is_stopped and not self._stopping:
            return fail(CancelledError())
        deferred: Deferred[object] = Deferred(self._forget)
        self._waiters.append(_Waiter(deferred, failAfterFailures))
        return deferred

    def startService(self) -> None:
        """Begin to connect (published)."""
        if self.running:
            log.msg("the ClientService is running already: it is not started again")
            return
        super().startService()
        self._is_stopped = False
        self._failures = 0
        if not self._stopping:
            self._connect()

    def stopService(self) -> Deferred[None]:
        """Stop connecting, and close the connection (published).

        The Deferred fires when the connection is closed.
        """
        super().stopService()
        self._is_stopped = True
        self._fail_waiters(Failure(CancelledError()))
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if self._watched is not None:
            self._watched.transport.loseConnection()
        if self._attempt is not None:
            self._attempt.cancel()
        self._finish_if_idle()
        return stopped

    def _connect(self) -> None:
        self._retry = None
        self._attempt = attempt = maybeDeferred(self._endpoint.connect, _Factory(self))
        attempt.addCallback(self._prepared)
        attempt.addCallbacks(self._connected, self._failed)

    def _prepared(self, watched: _Watched) -> object:
        if self._prepare is None:
            return watched
        return maybeDeferred(self._prepare, watched.protocol).addCallback(lambda _: watched)

    def _connected(self, watched: _Watched) -> None:
        self._attempt = None
        if not watched.is_lost and self.running:
            self._failures = 0
            self._protocol = watched.protocol
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.deferred.callback(watched.protocol)
        elif watched.is_lost:
            self._again()
        else:
            watched.transport.loseConnection()

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if self._watched is not None:
            # The preparation failed. The next attempt is scheduled when the connection is closed.
            self._watched.transport.loseConnection()
        if self.running:
            self._failures += 1
            why = printable(failure.text_within(301), 300, is_ascii=False)
            log.msg(f"{repr_of(self._endpoint, 200)}: no connection: {why}")
            self._count_failure(failure)
        if self._watched is None:
            self._again()

    def lost(self, watched: _Watched) -> None:
        """Make another connection after one is lost, unless an attempt must still report it."""
        if self._watched is watched:
            self._failures += self._protocol is not None  # a loss counts as one
            self._watched = self._protocol = None
            if self._attempt is None:
                self._again()

    def made(self, watched: _Watched) -> None:
        """Keep the protocol of a new connection; it is not prepared yet."""
        self._watched = watched

    def _again(self) -> None:
        if self._stopping:
            self._finish_if_idle()
        elif self.running and self._retry is None:
            self._retry = self._clock.callLater(self._policy(self._failures), self._connect)

    def _finish_if_idle(self) -> None:
        if self._attempt is not None or self._watched is not None:
            return
        stopping, self._stopping = self._stopping, []
        if self._is_stopped:
            self._fail_waiters(Failure(CancelledError()))
        for stopped in stopping:
            stopped.callback(None)
        is_idle = self._attempt is None and self._watched is None and self._retry is None
        if self.running and is_idle:
            self._connect()

    def _count_failure(self, failure: Failure) -> None:
        for waiter in list(self._waiters):
            if waiter.failures_left is not None:
                waiter.failures_left -= 1
                if waiter.failures_left <= 0:
                    self._waiters.remove(waiter)
                    waiter.deferred.errback(failure)

    def _fail_waiters(self, failure: Failure) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.deferred.errback(failure)

    def _forget(self, deferred: Deferred[object]) -> None:
        self._waiters = [waiter for waiter in self._waiters if waiter.deferred is not deferred]


class _Factory:
    """Wraps the factory of a ClientService so that its protocols are watched."""

    def __init__(self, service: ClientService):
        self._service = service

    def buildProtocol(self, addr: object) -> _Watched | None:
        protocol = self._service._factory.buildProtocol(addr)
        return None if protocol is None else _Watched(protocol, self._service)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service._factory, name)


class _Watched:
    """Passes calls on to the protocol, and tells the service of the start and the end."""

    def __init__(self, protocol: StreamProtocol, service: ClientService):
        self.protocol = protocol
        self.transport: Any = None
        self.is_lost = False
        self._service = service

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self._service.made(self)
        self.protocol.makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        self.is_lost = True
        try:
            self.protocol.connectionLost(reason)
        finally:
            self._service.lost(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)
