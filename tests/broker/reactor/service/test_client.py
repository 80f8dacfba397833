"""ClientService, without a comparison with Twisted, and over real endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.defer import CancelledError, Deferred
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.reactor import Reactor
from broker.reactor.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from broker.reactor.protocol import Factory, Protocol
from broker.reactor.service import ClientService, StreamServerEndpointService
from broker.reactor.task import Clock


class Transport:
    """Counts how often it is closed."""

    closed = 0

    def loseConnection(self) -> None:
        """Count."""
        self.closed += 1


class Endpoint:
    """Makes attempts, and connects the last one when the test tells it to."""

    def __init__(self) -> None:
        self.attempts: list[Deferred[Any]] = []
        self.factory: Any = None
        self.transport = Transport()

    def connect(self, factory: Any) -> Deferred[Any]:
        """Begin an attempt."""
        self.factory = factory
        attempt: Deferred[Any] = Deferred()
        self.attempts.append(attempt)
        return attempt

    def accept(self) -> Any:
        """Make the connection; return its protocol."""
        made = self.factory.buildProtocol(None)
        made.makeConnection(self.transport)
        self.attempts[-1].callback(made)
        return made


@pytest.fixture
def endpoint() -> Endpoint:
    """An endpoint without a network."""
    return Endpoint()


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


def client(endpoint: Any, clock: Any, **kw: Any) -> ClientService:
    """A service that waits 10 seconds, and one for each failure."""
    factory = Factory.forProtocol(Protocol)
    return ClientService(endpoint, factory, lambda failures: 10 + failures, clock, **kw)


DONE = Failure(ConnectionDone())


def test_failed_preparation(endpoint: Endpoint, clock: Clock) -> None:
    """A preparation that fails closes the connection, and counts as a failed attempt."""
    failures: list[Any] = []
    prepared: list[Any] = []

    def prepare(protocol: Any) -> None:
        prepared.append(protocol)
        raise ValueError("not ready")

    service = client(endpoint, clock, prepareConnection=prepare)
    service.startService()
    service.whenConnected(failAfterFailures=1).addErrback(failures.append)
    made = endpoint.accept()
    assert [type(protocol) for protocol in prepared] == [Protocol]
    assert [failure.type for failure in failures] == [ValueError]
    assert endpoint.transport.closed == 1
    assert clock.getDelayedCalls() == []
    made.connectionLost(DONE)
    assert [call.getTime() for call in clock.getDelayedCalls()] == [11]


@pytest.mark.parametrize("is_well", [True, False])
def test_lost_while_preparing(endpoint: Endpoint, clock: Clock, is_well: bool) -> None:
    """A connection that is lost during its preparation is not given out; another one is made."""
    preparing: Deferred[None] = Deferred()
    got: list[Any] = []
    service = client(endpoint, clock, prepareConnection=lambda protocol: preparing)
    service.startService()
    service.whenConnected().addCallback(got.append)
    endpoint.accept().connectionLost(DONE)
    assert clock.getDelayedCalls() == []
    if is_well:
        preparing.callback(None)
    else:
        preparing.errback(ValueError("the connection has gone"))
    assert len(clock.getDelayedCalls()) == 1
    assert got == []
    clock.advance(20)
    assert len(endpoint.attempts) == 2


def test_stopped_while_preparing(endpoint: Endpoint, clock: Clock) -> None:
    """A service that is stopped during the preparation closes the connection."""
    service = client(endpoint, clock, prepareConnection=lambda protocol: Deferred())
    service.startService()
    made = endpoint.accept()
    stopped = service.stopService()
    assert endpoint.transport.closed >= 1
    assert not stopped.called
    made.connectionLost(DONE)
    assert stopped.called
    assert clock.getDelayedCalls() == []


def test_cancelled_wait(endpoint: Endpoint, clock: Clock) -> None:
    """A Deferred that waits for a connection can be cancelled; the others still wait."""
    failures: list[Any] = []
    got: list[Any] = []
    service = client(endpoint, clock)
    service.startService()
    service.whenConnected().addCallback(got.append)
    giving_up = service.whenConnected()
    giving_up.addErrback(failures.append)
    giving_up.cancel()
    assert [failure.type for failure in failures] == [CancelledError]
    endpoint.accept()
    assert [type(protocol) for protocol in got] == [Protocol]


def test_started_twice(endpoint: Endpoint, clock: Clock) -> None:
    """A running service is not started again."""
    service = client(endpoint, clock)
    service.startService()
    service.startService()
    assert len(endpoint.attempts) == 1


def test_restarted_in_a_callback(endpoint: Endpoint, clock: Clock) -> None:
    """A service that is started again in a callback of its end connects once."""
    service = client(endpoint, clock)
    service.startService()
    made = endpoint.accept()
    service.stopService().addCallback(lambda _: service.startService())
    made.connectionLost(DONE)
    assert (len(endpoint.attempts), service.running) == (2, 1)


def test_restarted_where_connecting_is_at_once(endpoint: Endpoint, clock: Clock) -> None:
    """A service that is started again there, and connects at once, connects once."""
    service = client(endpoint, clock)
    service.startService()
    made = endpoint.accept()

    def restart(result: None) -> None:
        service.startService()
        endpoint.accept()

    service.stopService().addCallback(restart)
    made.connectionLost(DONE)
    assert len(endpoint.attempts) == 2


def test_factory_is_the_programs(endpoint: Endpoint, clock: Clock) -> None:
    """The endpoint gets a wrapper of the program's factory; a refusal is passed on."""
    service = client(endpoint, clock)
    service._factory.buildProtocol = lambda addr: None
    service._factory.greeting = "hello"
    service.startService()
    assert endpoint.factory.buildProtocol(None) is None
    assert endpoint.factory.greeting == "hello"


def test_a_protocol_that_raises(endpoint: Endpoint, clock: Clock) -> None:
    """A protocol whose connectionLost raises does not keep the service from connecting again."""
    service = client(endpoint, clock)
    service.startService()
    made = endpoint.accept()
    made.protocol.connectionLost = lambda reason: 1 / 0
    with pytest.raises(ZeroDivisionError):
        made.connectionLost(DONE)
    assert len(clock.getDelayedCalls()) == 1


def test_over_tcp(reactor: Reactor, run: Callable[[], None]) -> None:
    """Over real endpoints a lost connection is made again, and both services end."""
    got: list[Any] = []

    class Hello(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")
            if len(got) == 0:
                self.transport.loseConnection()

    class Taking(Protocol):
        def dataReceived(self, data: bytes) -> None:
            got.append(data)
            if len(got) == 2:
                ends = client.stopService().addCallback(lambda _: server.stopService())
                ends.addCallback(got.append).addBoth(lambda _: reactor.stop())

    port = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    server = StreamServerEndpointService(port, Factory.forProtocol(Hello))
    server.startService()
    assert server._waiting is not None
    number = server._waiting.result.getHost().port
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", number)
    client = ClientService(endpoint, Factory.forProtocol(Taking), lambda n: 0.01, reactor)
    client.startService()
    run()
    assert got == [b"hello", b"hello", True]


def test_endpoint_that_cannot(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that cannot listen is logged, and its service stops normally."""

    class Unable:
        def listen(self, factory: Any) -> Any:
            raise OSError("no room")

    service = StreamServerEndpointService(Unable(), Factory())
    results: list[Any] = []
    service.stopService().addCallback(results.append)
    service.privilegedStartService()
    service.startService()
    assert service.running
    service.stopService().addCallback(results.append)
    assert results == [False, False]
    assert "Unhandled Error" in caplog.text
