"""Listening ports, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from broker.net.log_throttle import LogThrottle
from broker.net.socket_addresses import IPv4Address, IPv6Address
from broker.reactor import Reactor
from broker.reactor.error import CannotListenError, NotListeningError
from broker.reactor.protocol import Factory, Protocol, ServerFactory

Run = Callable[[], None]
HOST = "127.0.0.1"


def test_listens_at_once(reactor: Reactor) -> None:
    """A port listens, with its real number, before any loop runs."""
    factory = Factory()
    port = reactor.listenTCP(0, factory, interface=HOST)
    host = port.getHost()
    assert host == IPv4Address("TCP", HOST, host.port)
    assert host.port > 0
    assert factory.numPorts == 1
    assert f"{HOST}:{host.port}" in repr(port)
    with socket.create_connection((HOST, host.port), timeout=5):
        pass
    port.stopListening()


@pytest.mark.parametrize("is_shared", [True, False])
def test_log_throttle_of_the_factory(reactor: Reactor, run: Run, is_shared: bool) -> None:
    """The connections of a port share the log throttle of its factory, or one that is made."""
    throttles: list[LogThrottle] = []

    class Noting(Protocol):
        def connectionMade(self) -> None:
            throttles.append(self.transport._log_throttle)
            if len(throttles) == 2:
                reactor.stop()

    factory = ServerFactory()
    factory.protocol = Noting
    if is_shared:
        factory.log_throttle = LogThrottle()
    address = HOST, reactor.listenTCP(0, factory, interface=HOST).getHost().port
    with socket.create_connection(address), socket.create_connection(address):
        run()
    assert throttles[0] is throttles[1]
    assert (throttles[0] is factory.log_throttle) is is_shared


def test_accepts_when_running(reactor: Reactor, run: Run) -> None:
    """Connections made before the loop ran are accepted in their order once it runs."""
    peers: list[Any] = []

    class Greeting(Protocol):
        def connectionMade(self) -> None:
            peers.append((self.transport.getPeer(), self.transport.getHost()))
            self.transport.write(b"welcome")
            self.transport.loseConnection()
            if len(peers) == 2:
                reactor.callLater(0.01, reactor.stop)

    built: list[Any] = []

    class Noting(Factory):
        protocol = Greeting

        def buildProtocol(self, addr: Any) -> Any:
            built.append(addr)
            return super().buildProtocol(addr)

    port = reactor.listenTCP(0, Noting(), interface=HOST)
    address = (HOST, port.getHost().port)
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        run()
        for client in (first, second):
            assert client.makefile("rb").read() == b"welcome"
        clients = [IPv4Address("TCP", *client.getsockname()) for client in (first, second)]
    assert built == clients
    assert peers == [(client, IPv4Address("TCP", *address)) for client in clients]


def test_every_interface(reactor: Reactor) -> None:
    """Without an interface a port listens on every IPv4 address."""
    port = reactor.listenTCP(0, Factory())
    assert port.getHost().host == "0.0.0.0"
    port.stopListening()


def test_ipv6(reactor: Reactor) -> None:
    """A port listens on an IPv6 address."""
    port = reactor.listenTCP(0, Factory(), interface="::1")
    assert isinstance(port.getHost(), IPv6Address)
    port.stopListening()


def test_port_in_use(reactor: Reactor) -> None:
    """A port in use raises CannotListenError that names it, and does not start the factory."""
    factory = Factory()
    with socket.create_server((HOST, 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(CannotListenError, match=f"{HOST}:{number}") as raised:
            reactor.listenTCP(number, factory, interface=HOST)
    assert (raised.value.interface, raised.value.port) == (HOST, number)
    assert isinstance(raised.value.socketError, OSError)
    assert factory.numPorts == 0


def test_refusing(reactor: Reactor, run: Run) -> None:
    """If a factory builds None, the connection is refused, and it is called for the next one."""
    asked: list[Any] = []

    class Refusing(Factory):
        def buildProtocol(self, addr: Any) -> None:
            asked.append(addr)
            if len(asked) == 2:
                reactor.callLater(0.01, reactor.stop)

    port = reactor.listenTCP(0, Refusing(), interface=HOST)
    address = (HOST, port.getHost().port)
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        run()
        for client in (first, second):
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
    assert len(asked) == 2


def test_stop_listening_before_running(
    reactor: Reactor, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A port can be closed before the loop runs; this is reported when it runs."""
    factory = Factory()
    port = reactor.listenTCP(0, factory, interface=HOST)
    address = (HOST, port.getHost().port)
    fired: list[None] = []
    port.stopListening().addCallback(fired.append)
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0
    assert fired == []
    reactor.callLater(0, reactor.stop)
    run()
    assert fired == [None]
    assert factory.numPorts == 0
    assert caplog.messages == []


def test_stop_listening(reactor: Reactor, run: Run, journal: Any) -> None:
    """stopListening closes the port and stops the factory; its connections stay open."""
    fired: list[Any] = []

    def stop_listening(protocol: Protocol) -> None:
        port.stopListening().addCallback(fired.append)
        with socket.socket() as probe:
            assert probe.connect_ex(address) != 0
        assert fired == []
        reactor.callLater(0.01, protocol.transport.write, b"still here")

    server = Factory.forProtocol(journal.protocol("server", connectionMade=stop_listening))
    client = journal.client_factory(
        journal.protocol("client", dataReceived=lambda *_: reactor.stop())
    )
    port = reactor.listenTCP(0, server, interface=HOST)
    address = (HOST, port.getHost().port)
    reactor.connectTCP(*address, client)
    run()
    assert fired == [None]
    assert server.numPorts == 0
    assert "not listening" in repr(port)
    with pytest.raises(NotListeningError):
        port.getHost()


def test_stop_listening_twice(reactor: Reactor, run: Run) -> None:
    """Closing a closed port does nothing, but its Deferred fires."""
    factory = Factory()
    port = reactor.listenTCP(0, factory, interface=HOST)
    fired: list[None] = []
    for _ in range(2):
        port.loseConnection().addCallback(fired.append)
    reactor.callLater(0, reactor.stop)
    run()
    assert fired == [None, None]
    assert factory.numPorts == 0


def test_listening_again(reactor: Reactor, run: Run, journal: Any) -> None:
    """A closed port can listen again, also while the reactor runs."""
    server = Factory.forProtocol(
        journal.protocol("server", connectionMade=lambda _: reactor.stop())
    )
    port = reactor.listenTCP(0, server, interface=HOST)
    port.stopListening()
    clients: list[socket.socket] = []

    def listen() -> None:
        port.startListening()
        clients.append(socket.create_connection((HOST, port.getHost().port)))

    reactor.callLater(0, listen)
    run()
    clients[0].close()
    assert journal[0] == "server connectionMade"


def test_one_factory_on_two_ports(reactor: Reactor, run: Run) -> None:
    """A factory on two ports is started once, and stopped with the second port."""
    numbers: list[int] = []
    factory = Factory()
    ports = [reactor.listenTCP(0, factory, interface=HOST) for _ in range(2)]
    assert factory.numPorts == 2
    ports[0].stopListening().addCallback(lambda _: numbers.append(factory.numPorts))
    ports[0].stopListening()
    reactor.callLater(0, lambda: (numbers.append(factory.numPorts), reactor.stop()))
    run()
    assert numbers == [1, 1]
    assert factory.numPorts == 0


def test_raising_stop_factory(reactor: Reactor, run: Run) -> None:
    """The Deferred of stopListening fails with the exception of stopFactory."""

    class Raising(Factory):
        def stopFactory(self) -> None:
            raise KeyError("not mine")

    failures: list[Any] = []
    reactor.listenTCP(0, Raising(), interface=HOST).stopListening().addErrback(failures.append)
    reactor.callLater(0, reactor.stop)
    run()
    assert failures[0].type is KeyError


def test_connections_are_forgotten(reactor: Reactor, run: Run, journal: Any) -> None:
    """The reactor keeps no reference to a connection that has ended."""
    held: list[int] = []

    def look(protocol: Protocol, reason: Any) -> None:
        reactor.callLater(0, lambda: (held.append(len(reactor._held)), reactor.stop()))

    server = Factory.forProtocol(journal.protocol("server", connectionLost=look))
    port = reactor.listenTCP(0, server, interface=HOST)
    socket.create_connection((HOST, port.getHost().port)).close()
    run()
    assert held == [1]  # the port
