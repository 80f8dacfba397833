"""Endpoints of WebSockets: PB in the published face, with TLS, by descriptions, refusals."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

from broker import pb
from broker.errors import ConfigError, ConnectionLost, TLSError
from broker.reactor import Reactor
from broker.reactor.endpoints import (
    WebSocketClientEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
    wrapClientTLS,
)
from broker.reactor.error import CannotListenError
from broker.reactor.protocol import Factory, Protocol

Run = Callable[[], None]
HOST = "127.0.0.1"


class Echo(pb.Root):
    """The root of a server."""

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value


def listening(reactor: Reactor, description: str) -> int:
    """Listen with a PB server; return the port."""
    ports: list[Any] = []
    endpoint = serverFromString(reactor, description)
    endpoint.listen(pb.PBServerFactory(Echo())).addCallback(ports.append)
    return int(ports[0].getHost().port)


def echoed(reactor: Reactor, run: Run, endpoint: Any) -> list[Any]:
    """Connect a PB client, and call; return the answer, or the error."""
    seen: list[Any] = []
    factory = pb.PBClientFactory()
    endpoint.connect(factory).addErrback(seen.append)
    called = factory.getRootObject().addCallback(
        lambda root: root.callRemote("echo", b"x" * 99_999)
    )
    called.addBoth(seen.append).addBoth(lambda _: (factory.disconnect(), reactor.stop()))
    run()
    return seen


def test_pb(reactor: Reactor, run: Run) -> None:
    """A client calls a server, from one description to another."""
    port = listening(reactor, f"ws:0:path=/pb:interface={HOST}")
    client = clientFromString(reactor, f"ws:{HOST}:{port}:path=/pb")
    assert echoed(reactor, run, client) == [b"x" * 99_999]


def test_tls(reactor: Reactor, run: Run, tmp_path: Path) -> None:
    """wss: has TLS, and the client verifies the server."""
    authority = Authority(tmp_path)
    pair = authority.issue()
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ca.pem").write_bytes(authority.ca_path.read_bytes())
    key, certificate = (
        quoteStringArgument(str(each)) for each in (pair.key_path, pair.certificate_path)
    )
    port = listening(
        reactor, f"wss:0:path=/pb:interface={HOST}:privateKey={key}:certKey={certificate}"
    )
    client = f"wss:localhost:{port}:path=/pb"
    endpoint = clientFromString(reactor, f"{client}:trustRoots={quoteStringArgument(str(trusted))}")
    assert echoed(reactor, run, endpoint) == [b"x" * 99_999]


class Watcher(Protocol):
    """Stops the reactor at its end, and keeps the reason."""

    reason: Any = None

    def __init__(self, reactor: Reactor):
        self.reactor = reactor

    def connectionLost(self, reason: Any = None) -> None:
        """Keep the reason."""
        self.reason = reason.value
        self.reactor.stop()


def test_a_server_that_is_not_trusted(reactor: Reactor, run: Run, tmp_path: Path) -> None:
    """Without trust in its certificate there is no connection."""
    pair = Authority(tmp_path).issue()
    port = listening(
        reactor,
        f"wss:0:interface={HOST}:privateKey={pair.key_path}:certKey={pair.certificate_path}",
    )
    watcher = Watcher(reactor)
    connectProtocol(clientFromString(reactor, f"wss:localhost:{port}"), watcher)
    run()
    assert isinstance(watcher.reason, TLSError)


def test_another_path(reactor: Reactor, run: Run) -> None:
    """The server answers 404, and the protocol learns it."""
    port = listening(reactor, f"ws:0:path=/pb:interface={HOST}")
    watcher = Watcher(reactor)
    connectProtocol(clientFromString(reactor, f"ws:{HOST}:{port}:path=/other"), watcher)
    run()
    assert isinstance(watcher.reason, ConnectionLost)
    assert str(watcher.reason) == "the server answers 404 Not Found"


@pytest.mark.parametrize(
    ("origin", "status"), [("https://a.example", "101"), ("https://evil.example", "403")]
)
def test_origins(reactor: Reactor, run: Run, origin: str, status: str) -> None:
    """The pages of the origins that are listed may connect, and no others."""
    listed = quoteStringArgument("https://a.example,https://b.example")
    port = listening(reactor, f"ws:0:interface={HOST}:origins={listed}")

    class Page(Watcher):
        """Sends the request of a browser."""

        heard = b""

        def connectionMade(self) -> None:
            """Ask."""
            self.transport.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Protocol: pb\r\nOrigin: " + origin.encode() + b"\r\n\r\n"
            )

        def dataReceived(self, data: bytes) -> None:
            """Keep the answer, and close."""
            self.heard += data
            self.transport.loseConnection()

    page = Page(reactor)
    connectProtocol(clientFromString(reactor, f"tcp:{HOST}:{port}"), page)
    run()
    assert page.heard.startswith(f"HTTP/1.1 {status} ".encode())


def test_the_client_for_browsers(reactor: Reactor, run: Run) -> None:
    """The port serves the client for browsers."""
    port = listening(reactor, f"ws:0:interface={HOST}")
    heard: list[bytes] = []

    def fetch() -> None:
        with urllib.request.urlopen(f"http://{HOST}:{port}/broker.js", timeout=9) as answer:
            heard.append(answer.read(25))
        reactor.callFromThread(reactor.stop)

    reactor.callInThread(fetch)
    run()
    assert heard == [b"/*! perspective-broker 0."]


def test_wrong_descriptions(reactor: Reactor) -> None:
    """A path, an origin or an argument that is not valid is refused at once."""
    for description in ("ws:80:path=pb", "ws:80:path=/a b", "ws:80:origins=a.example"):
        with pytest.raises(ConfigError):
            serverFromString(reactor, description)
    with pytest.raises(ConfigError, match="path"):
        clientFromString(reactor, f"ws:{HOST}:80:path=/?x")
    with pytest.raises(TypeError, match=r"^ws: .*trustRoots"):
        clientFromString(reactor, f"ws:{HOST}:80:trustRoots=x")
    with pytest.raises(TypeError, match="of this library"):
        WebSocketClientEndpoint(_Other(), HOST, 80)


class _Other:
    """A reactor of another library."""

    def connectTCP(self) -> None:
        """Connect."""


def test_default_ports(reactor: Reactor) -> None:
    """They are those of HTTP and HTTPS."""
    assert repr(clientFromString(reactor, "ws:h")) == "<WebSocketClientEndpoint h:80>"
    assert repr(clientFromString(reactor, "wss:h")) == "<WebSocketClientEndpoint h:443>"


def test_a_port_in_use(reactor: Reactor, run: Run) -> None:
    """Listening fails with CannotListenError."""
    port = listening(reactor, f"ws:0:interface={HOST}")
    failures: list[Any] = []
    again = serverFromString(reactor, f"ws:{port}:interface={HOST}")
    again.listen(Factory.forProtocol(Protocol)).addErrback(failures.append)
    assert failures[0].check(CannotListenError)
    reactor.callLater(0, reactor.stop)
    run()


def test_tls_by_wrapping(reactor: Reactor, run: Run, tmp_path: Path) -> None:
    """wrapClientTLS puts TLS below the WebSocket."""
    from broker.reactor import ssl

    authority = Authority(tmp_path)
    pair = authority.issue()
    port = listening(
        reactor,
        f"wss:0:interface={HOST}:privateKey={pair.key_path}:certKey={pair.certificate_path}",
    )
    root = ssl.Certificate.loadPEM(authority.ca_path.read_bytes())
    options = ssl.optionsForClientTLS("localhost", trustRoot=root)
    endpoint = wrapClientTLS(options, WebSocketClientEndpoint(reactor, "localhost", port))
    assert echoed(reactor, run, endpoint) == [b"x" * 99_999]
