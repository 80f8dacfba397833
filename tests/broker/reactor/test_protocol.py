"""Protocols and factories, without a connection."""

from __future__ import annotations

import logging

import pytest

from broker.failure import Failure
from broker.reactor.error import ConnectionDone
from broker.reactor.protocol import (
    BaseProtocol,
    ClientFactory,
    Factory,
    Protocol,
    ServerFactory,
    connectionDone,
)


class Counting(Factory):
    """A factory that records when it starts and stops."""

    def __init__(self, start: int = 0, *, noisy: bool = False):
        self.noisy = noisy
        self.events: list[object] = [start]

    def startFactory(self) -> None:  # noqa: D102 - published
        self.events.append("start")

    def stopFactory(self) -> None:  # noqa: D102 - published
        self.events.append("stop")


def test_make_connection() -> None:
    """makeConnection sets transport and connected before it calls connectionMade."""
    seen: list[object] = []

    class Seeing(BaseProtocol):
        def connectionMade(self) -> None:
            seen.extend([self.connected, self.transport])

    protocol = Seeing()
    assert (protocol.connected, protocol.transport) == (0, None)
    transport = object()
    protocol.makeConnection(transport)
    assert seen == [1, transport]


def test_defaults() -> None:
    """A protocol without methods accepts all events."""
    protocol = Protocol()
    protocol.makeConnection(object())
    protocol.dataReceived(b"data")
    protocol.connectionLost()
    protocol.connectionLost(connectionDone)
    assert protocol.factory is None
    assert protocol.logPrefix() == "Protocol"


def test_connection_done() -> None:
    """connectionDone is the Failure of a clean end."""
    assert isinstance(connectionDone, Failure)
    assert connectionDone.check(ConnectionDone) is ConnectionDone


def test_build_protocol() -> None:
    """A factory builds a new protocol for each connection and sets itself as its factory."""
    factory = Factory()
    factory.protocol = Protocol
    first, second = factory.buildProtocol(None), factory.buildProtocol(None)
    assert type(first) is Protocol
    assert first is not second
    assert first.factory is second.factory is factory


def test_build_nothing() -> None:
    """A factory without a protocol and without buildProtocol raises an error."""
    with pytest.raises(TypeError, match="ServerFactory needs a protocol"):
        ServerFactory().buildProtocol(None)


def test_for_protocol() -> None:
    """forProtocol makes the factory with the other arguments and sets its protocol."""
    factory = Counting.forProtocol(Protocol, 7, noisy=True)
    assert type(factory) is Counting
    assert factory.protocol is Protocol
    assert factory.events == [7]
    assert factory.noisy is True
    assert Counting.protocol is None


def test_start_and_stop() -> None:
    """A factory is started by its first port or connector and stopped by its last, each time."""
    factory = Counting()
    factory.doStart()
    factory.doStart()
    factory.doStop()
    assert factory.events == [0, "start"]
    assert factory.numPorts == 1
    factory.doStop()
    assert factory.events == [0, "start", "stop"]
    factory.doStop()
    assert factory.events == [0, "start", "stop"]
    factory.doStart()
    assert factory.events == [0, "start", "stop", "start"]


@pytest.mark.parametrize("noisy", [True, False])
def test_noisy(noisy: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Only a noisy factory logs that it starts and stops."""
    caplog.set_level(logging.INFO)
    factory = Counting(noisy=noisy)
    factory.doStart()
    factory.doStop()
    starts = ["Starting factory", "Stopping factory"] if noisy else []
    assert [" ".join(text.split()[:2]) for text in caplog.messages] == starts


def test_client_factory() -> None:
    """A client factory without methods accepts all calls of its connector."""
    factory = ClientFactory()
    factory.startFactory()
    factory.startedConnecting(None)
    factory.clientConnectionFailed(None, connectionDone)
    factory.clientConnectionLost(None, connectionDone)
    factory.stopFactory()
    assert factory.logPrefix() == "ClientFactory"
    assert factory.noisy is True
