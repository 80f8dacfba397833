"""TLS by context factories: ours, and any object with getContext."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from support.certificates import Authority, Pair

from broker.reactor import Reactor
from broker.reactor.protocol import Factory, Protocol
from broker.reactor.ssl import (
    ClientContextFactory,
    ContextFactory,
    DefaultOpenSSLContextFactory,
)

Run = Callable[[], None]
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """A server's certificate."""
    return authority.issue()


class Given:
    """The smallest context factory: it has a context, and counts the requests for it."""

    def __init__(self, context: SSL.Context):
        self.context = context
        self.asked = 0

    def getContext(self) -> SSL.Context:  # noqa: D102 - published
        self.asked += 1
        return self.context


def serving(pair: Pair) -> Given:
    """A server's context factory."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_file(str(pair.certificate_path))
    context.use_privatekey_file(str(pair.key_path))
    return Given(context)


def trusting(ca: Path) -> Given:
    """A client's context factory that verifies the server's certificate."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(ca))
    context.set_verify(SSL.VERIFY_PEER, lambda *args: bool(args[-1]))
    return Given(context)


def converse(reactor: Reactor, run: Run, journal: Any, server: Any, client: Any) -> bytes:
    """Connect, ask, and close on the answer; return the answer."""
    answer = bytearray()

    def take(protocol: Protocol, data: bytes) -> None:
        answer.extend(data)
        protocol.transport.loseConnection()

    echo = Factory.forProtocol(
        journal.protocol("server", dataReceived=lambda p, data: p.transport.write(data.upper()))
    )
    asking = journal.client_factory(
        journal.protocol(
            "client", connectionMade=lambda p: p.transport.write(b"hello"), dataReceived=take
        ),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
    )
    port = reactor.listenSSL(0, echo, server, interface=HOST)
    reactor.connectSSL(HOST, port.getHost().port, asking, client)
    run()
    return bytes(answer)


def test_any_object(
    reactor: Reactor, run: Run, journal: Any, authority: Authority, pair: Pair
) -> None:
    """Any object with getContext works at either end, and is asked for each connection."""
    server, client = serving(pair), trusting(authority.ca_path)
    assert converse(reactor, run, journal, server, client) == b"HELLO"
    assert "clientConnectionLost ConnectionDone" in journal
    assert server.asked == 2
    assert client.asked == 2


def test_published_factories(reactor: Reactor, run: Run, journal: Any, pair: Pair) -> None:
    """DefaultOpenSSLContextFactory and ClientContextFactory connect to each other."""
    server = DefaultOpenSSLContextFactory(str(pair.key_path), str(pair.certificate_path))
    assert converse(reactor, run, journal, server, ClientContextFactory()) == b"HELLO"


def test_untrusted(reactor: Reactor, run: Run, journal: Any, tmp_path: Path, pair: Pair) -> None:
    """A server that the client's context does not trust gets no data; the reason is TLSError."""
    client = trusting(Authority(tmp_path, "another CA").ca_path)
    assert converse(reactor, run, journal, serving(pair), client) == b""
    ours = [event for event in journal if not event.startswith("server")]
    assert ours[-3:] == [
        "client connectionLost TLSError",
        "clientConnectionLost TLSError",
        "stopFactory",
    ]


def test_plaintext_client(reactor: Reactor, run: Run, journal: Any, pair: Pair) -> None:
    """A client without TLS on a TLS port is disconnected, and no data is delivered."""
    port = reactor.listenSSL(
        0,
        Factory.forProtocol(journal.protocol("server", dataReceived=lambda *_: 1 / 0)),
        serving(pair),
        interface=HOST,
    )
    asking = journal.client_factory(
        journal.protocol("client", connectionMade=lambda p: p.transport.write(b"GET / HTTP/1.1")),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
    )
    reactor.connectTCP(HOST, port.getHost().port, asking)
    run()
    assert "server connectionLost TLSError" in journal


def test_broken_factory(reactor: Reactor) -> None:
    """An error of a context factory is raised at once, before a socket is opened."""
    with pytest.raises(NotImplementedError, match="ContextFactory has no getContext"):
        reactor.listenSSL(0, Factory(), ContextFactory())
    with pytest.raises(AttributeError, match="getContext"):
        reactor.connectSSL(HOST, 1, Factory(), object())


def test_wrong_key(tmp_path: Path, authority: Authority, pair: Pair) -> None:
    """A key of another certificate is refused when the factory is made."""
    other = authority.issue()
    with pytest.raises(SSL.Error):
        DefaultOpenSSLContextFactory(str(other.key_path), str(pair.certificate_path))


def test_old_versions(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both published factories require TLS 1.2, whatever OpenSSL still supports."""
    asked: list[int] = []
    monkeypatch.setattr(
        SSL.Context, "set_min_proto_version", lambda context, version: asked.append(version)
    )
    DefaultOpenSSLContextFactory(str(pair.key_path), str(pair.certificate_path))
    ClientContextFactory().getContext()
    assert asked == [SSL.TLS1_2_VERSION] * 2
