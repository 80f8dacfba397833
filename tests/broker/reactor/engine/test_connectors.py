"""Connectors and client connections, on real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.net.socket_addresses import IPv4Address, IPv6Address
from broker.reactor import Reactor
from broker.reactor.error import NotConnectingError, ServiceNameUnknownError
from broker.reactor.protocol import ClientFactory, Factory, Protocol

Run = Callable[[], None]
HOST = "127.0.0.1"


class Echo(Protocol):
    """Sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:  # noqa: D102 - published
        self.transport.write(data)


@pytest.fixture
def echo(reactor: Reactor) -> tuple[str, int]:
    """The port of an echo server."""
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface=HOST)
    return HOST, port.getHost().port


@pytest.fixture
def nowhere() -> Iterator[tuple[str, int]]:
    """A port that no program listens on during the test."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield bound.getsockname()


def test_order_of_calls(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """An attempt, its connection and its end are reported in the published order."""
    states: list[Any] = []
    factory = journal.client_factory(
        journal.protocol(
            "client",
            connectionMade=lambda p: (
                states.append((connector.state, connector.transport is p.transport)),
                p.transport.loseConnection(),
            ),
            connectionLost=lambda p, reason: states.append(connector.state),
        ),
        clientConnectionLost=lambda connector, reason: (
            states.append((connector.state, connector.transport)),
            reactor.stop(),
        ),
    )
    connector = reactor.connectTCP(*echo, factory)
    assert (connector.state, connector.transport) == ("connecting", None)
    run()
    assert journal == [
        "startFactory",
        "startedConnecting connecting",
        "buildProtocol",
        "client connectionMade",
        "client connectionLost ConnectionDone",
        "clientConnectionLost ConnectionDone",
        "stopFactory",
    ]
    assert states == [("connected", True), "connected", ("disconnected", None)]


def test_refused(reactor: Reactor, run: Run, journal: Any, nowhere: tuple[str, int]) -> None:
    """Without a listener the attempt fails with ConnectionRefusedError, without a protocol."""
    factory = journal.client_factory(
        Protocol, clientConnectionFailed=lambda connector, reason: reactor.stop()
    )
    reactor.connectTCP(*nowhere, factory)
    run()
    assert journal == [
        "startFactory",
        "startedConnecting connecting",
        "clientConnectionFailed ConnectionRefusedError",
        "stopFactory",
    ]


def test_unknown_host(reactor: Reactor, run: Run, journal: Any) -> None:
    """A name that does not resolve fails with DNSLookupError."""
    factory = journal.client_factory(
        Protocol, clientConnectionFailed=lambda connector, reason: reactor.stop()
    )
    reactor.connectTCP("no-such-host.invalid", 1, factory)
    run()
    assert journal[-2] == "clientConnectionFailed DNSLookupError"


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A port with a full queue: the kernel answers no connection."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen(0)
        queue = [socket.socket() for _ in range(2)]
        for client in queue:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()
        for client in queue:
            client.close()


def test_timeout(reactor: Reactor, run: Run, journal: Any, silent: tuple[str, int]) -> None:
    """A server that does not answer within the timeout fails with TimeoutError."""
    factory = journal.client_factory(
        Protocol, clientConnectionFailed=lambda connector, reason: reactor.stop()
    )
    began = time.monotonic()
    reactor.connectTCP(*silent, factory, timeout=0.1)
    run()
    assert journal[-2] == "clientConnectionFailed TimeoutError"
    assert time.monotonic() - began >= 0.1


def test_no_timeout(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """timeout=None means no timeout."""
    factory = journal.client_factory(
        journal.protocol("client", connectionMade=lambda _: reactor.stop())
    )
    reactor.connectTCP(*echo, factory, timeout=None)
    run()
    assert "client connectionMade" in journal


def test_refusing(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """If a factory builds None, the connection is closed and reported as lost."""
    factory = journal.client_factory(
        None, clientConnectionLost=lambda connector, reason: reactor.stop()
    )
    reactor.connectTCP(*echo, factory)
    run()
    assert journal[2:] == ["buildProtocol", "clientConnectionLost ConnectionDone", "stopFactory"]


def test_connect_again(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """connect() in clientConnectionLost connects again, without stopping the factory between."""

    def again(connector: Any, reason: Any) -> None:
        if journal.count("buildProtocol") < 3:
            connector.connect()
        else:
            reactor.stop()

    factory = journal.client_factory(
        journal.protocol("client", connectionMade=lambda p: p.transport.loseConnection()),
        clientConnectionLost=again,
    )
    reactor.connectTCP(*echo, factory)
    run()
    assert journal.count("client connectionMade") == 3
    assert journal.count("startFactory") == journal.count("stopFactory") == 1
    assert journal[-1] == "stopFactory"


def test_try_again(reactor: Reactor, run: Run, journal: Any, nowhere: tuple[str, int]) -> None:
    """connect() in clientConnectionFailed tries again."""

    def again(connector: Any, reason: Any) -> None:
        if journal.count("startedConnecting connecting") < 3:
            connector.connect()
        else:
            reactor.stop()

    factory = journal.client_factory(Protocol, clientConnectionFailed=again)
    reactor.connectTCP(*nowhere, factory)
    run()
    assert journal.count("clientConnectionFailed ConnectionRefusedError") == 3
    assert journal.count("startFactory") == journal.count("stopFactory") == 1


def test_connect_while_connecting(reactor: Reactor) -> None:
    """connect() refuses while there is an attempt."""
    connector = reactor.connectTCP(HOST, 1, ClientFactory())
    with pytest.raises(RuntimeError, match="connecting"):
        connector.connect()


@pytest.mark.parametrize("name", ["stopConnecting", "disconnect"])
def test_stop_connecting(
    reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int], name: str
) -> None:
    """A stopped attempt fails with UserError at once, and makes no connection."""

    def give_up() -> None:
        connector = reactor.connectTCP(*echo, factory)
        getattr(connector, name)()
        journal.append(connector.state)

    factory = journal.client_factory(Protocol)
    give_up()
    reactor.callLater(0.01, give_up)
    reactor.callLater(0.1, reactor.stop)
    run()
    once = [
        "startFactory",
        "startedConnecting connecting",
        "clientConnectionFailed UserError",
        "stopFactory",
        "disconnected",
    ]
    assert journal == once * 2


def test_stop_connecting_leaves_nothing(
    reactor: Reactor, run: Run, silent: tuple[str, int]
) -> None:
    """A stopped attempt leaves no task that continues to try."""
    tasks: list[int] = []

    def count() -> None:
        tasks.append(len(asyncio.all_tasks()))

    def give_up() -> None:
        count()
        connector.stopConnecting()
        reactor.callLater(0.01, count)
        reactor.callLater(0.02, reactor.stop)

    connector = reactor.connectTCP(*silent, ClientFactory())
    reactor.callLater(0.01, give_up)
    run()
    assert tasks == [2, 1]


@pytest.mark.parametrize("turns", range(12))
def test_stop_connecting_in_any_turn(
    reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int], turns: int
) -> None:
    """In any turn, a stopped attempt fails without a protocol, or was a connection before."""

    def give_up(turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(give_up, turns - 1)
        else:
            connector.disconnect()
            reactor.callLater(0.02, reactor.stop)

    factory = journal.client_factory(journal.protocol("client"))
    connector = reactor.connectTCP(*echo, factory)
    reactor.callWhenRunning(give_up, turns)
    run()
    began = ["startFactory", "startedConnecting connecting"]
    failed = ["clientConnectionFailed UserError", "stopFactory"]
    made = ["buildProtocol", "client connectionMade"]
    lost = [
        "client connectionLost ConnectionDone",
        "clientConnectionLost ConnectionDone",
        "stopFactory",
    ]
    assert journal in (began + failed, began + made + lost)


def test_stop_connecting_when_started(reactor: Reactor, journal: Any) -> None:
    """A factory may stop the attempt in startedConnecting."""
    factory = journal.client_factory(
        Protocol, startedConnecting=lambda connector: connector.stopConnecting()
    )
    connector = reactor.connectTCP(HOST, 1, factory)
    assert journal[-2:] == ["clientConnectionFailed UserError", "stopFactory"]
    with pytest.raises(NotConnectingError, match="disconnected"):
        connector.stopConnecting()
    connector.disconnect()


def test_disconnect(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """disconnect() of a connection closes it; stopConnecting() refuses."""

    def end(protocol: Protocol) -> None:
        with pytest.raises(NotConnectingError, match="connected"):
            connector.stopConnecting()
        connector.disconnect()

    factory = journal.client_factory(
        journal.protocol("client", connectionMade=end),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
    )
    connector = reactor.connectTCP(*echo, factory)
    run()
    assert journal[-2:] == ["clientConnectionLost ConnectionDone", "stopFactory"]


def test_raising_factory(
    reactor: Reactor,
    run: Run,
    journal: Any,
    nowhere: tuple[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception of clientConnectionFailed is logged, and the reactor continues."""

    def fail(connector: Any, reason: Any) -> None:
        reactor.callLater(0, reactor.stop)
        raise KeyError("not mine")

    reactor.connectTCP(*nowhere, journal.client_factory(Protocol, clientConnectionFailed=fail))
    run()
    assert "clientConnectionFailed raised" in caplog.messages


def test_raising_build_protocol(
    reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]
) -> None:
    """A factory that raises instead of building fails the attempt with ConnectError."""

    class Raising(ClientFactory):
        def buildProtocol(self, addr: Any) -> Any:
            raise KeyError("not mine")

        def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
            journal.append(reason.type.__name__)
            reactor.stop()

    connector = reactor.connectTCP(*echo, Raising())
    run()
    assert journal == ["ConnectError"]
    assert connector.state == "disconnected"


def test_destination(reactor: Reactor) -> None:
    """getDestination returns host and port as they were given."""
    connector = reactor.connectTCP("example.org", 8787, ClientFactory())
    assert connector.getDestination() == IPv4Address("TCP", "example.org", 8787)
    assert "example.org:8787: connecting" in repr(connector)
    connector = reactor.connectTCP("::1", 8787, ClientFactory())
    assert connector.getDestination() == IPv6Address("TCP", "::1", 8787)


def test_service_name(reactor: Reactor) -> None:
    """A port may be the name of a service; an unknown name is refused."""
    assert reactor.connectTCP(HOST, "http", ClientFactory()).getDestination().port == 80
    with pytest.raises(ServiceNameUnknownError, match="no-such-service"):
        reactor.connectTCP(HOST, "no-such-service", ClientFactory())


@pytest.mark.parametrize("bind", ["127.0.0.2", ("127.0.0.2", 0)])
def test_bind_address(
    reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int], bind: Any
) -> None:
    """A connection is made from the requested address."""
    hosts: list[str] = []
    factory = journal.client_factory(
        journal.protocol(
            "client",
            connectionMade=lambda p: (hosts.append(p.transport.getHost().host), reactor.stop()),
        )
    )
    reactor.connectTCP(*echo, factory, bindAddress=bind)
    run()
    assert hosts == ["127.0.0.2"]


def test_lose_connection_flushes(reactor: Reactor, run: Run, journal: Any) -> None:
    """loseConnection sends all bytes written before it closes: 4 MiB, in order."""
    payload = bytes(range(256)) * (4 * 4096)
    received = bytearray()

    def send(protocol: Protocol) -> None:
        protocol.transport.write(payload)
        protocol.transport.loseConnection()
        protocol.transport.write(b"too late")

    server = Factory.forProtocol(journal.protocol("server", connectionMade=send))
    client = journal.client_factory(
        journal.protocol("client", dataReceived=lambda p, data: received.extend(data)),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
    )
    port = reactor.listenTCP(0, server, interface=HOST)
    reactor.connectTCP(HOST, port.getHost().port, client)
    run()
    assert len(payload) == 4 * 2**20
    assert received == payload
    assert "clientConnectionLost ConnectionDone" in journal


def test_many_at_once(reactor: Reactor, run: Run, journal: Any, echo: tuple[str, int]) -> None:
    """A factory has many connections at once, each with its own protocol and connector."""
    answers: list[bytes] = []

    class Asking(Protocol):
        def connectionMade(self) -> None:
            self.question = b"%d" % self.transport.getHost().port
            self.transport.write(self.question)

        def dataReceived(self, data: bytes) -> None:
            assert data == self.question
            answers.append(data)
            self.transport.loseConnection()
            if len(answers) == 20:
                reactor.stop()

    factory = journal.client_factory(Asking)
    for _ in range(20):
        reactor.connectTCP(*echo, factory)
    assert factory.numPorts == 20
    run()
    assert len(set(answers)) == 20
    assert factory.numPorts == 0
