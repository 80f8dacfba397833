"""Push and pull producers through a reactor's transports: TCP, TLS and UNIX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from zope.interface import implementer

from broker.reactor import Reactor
from broker.reactor.interfaces import IPullProducer, IPushProducer
from broker.reactor.protocol import Factory
from broker.reactor.ssl import ClientContextFactory, DefaultOpenSSLContextFactory

Run = Callable[[], None]
SIZE = 16_000_000
PIECE = 50_000
HOST = "127.0.0.1"


class Producer:
    """Writes SIZE bytes to its transport, and records its calls."""

    def __init__(self, transport: Any):
        self.transport = transport
        self.left = SIZE
        self.told: list[str] = []

    def write(self) -> None:
        """Write a piece, and close after the last."""
        self.transport.write(bytes(PIECE))
        self.left -= PIECE
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        """Note it."""
        self.told.append("stop")


@implementer(IPushProducer)
class Pushing(Producer):
    """Writes until it is paused."""

    is_paused = False

    def pauseProducing(self) -> None:
        """Record it, and wait."""
        self.told.append("pause")
        self.is_paused = True

    def resumeProducing(self) -> None:
        """Record it, and go on."""
        self.told.append("resume")
        self.is_paused = False
        self.go()

    def go(self) -> None:
        """Write until all is written or it is paused."""
        while self.left and not self.is_paused:
            self.write()


@implementer(IPullProducer)
class Pulling(Producer):
    """Writes once for each request."""

    def resumeProducing(self) -> None:
        """Record it, and write once."""
        self.told.append("resume")
        self.write()


def connect(reactor: Reactor, kind: str, folder: Path, server: Any, client: Any) -> None:
    """Listen and connect over one kind of transport."""
    if kind == "unix":
        path = str(folder / "socket")
        reactor.listenUNIX(path, server)
        reactor.connectUNIX(path, client)
    elif kind == "tcp":
        port = reactor.listenTCP(0, server, interface=HOST)
        reactor.connectTCP(HOST, port.getHost().port, client)
    else:
        pair = Authority(folder).issue()
        context = DefaultOpenSSLContextFactory(str(pair.key_path), str(pair.certificate_path))
        port = reactor.listenSSL(0, server, context, interface=HOST)
        reactor.connectSSL(HOST, port.getHost().port, client, ClientContextFactory())


@pytest.mark.parametrize("kind", ["tcp", "ssl", "unix"])
@pytest.mark.parametrize("streaming", [True, False], ids=["push", "pull"])
def test_all_arrives(
    reactor: Reactor, run: Run, journal: Any, tmp_path: Path, kind: str, streaming: bool
) -> None:
    """All bytes of a producer arrive, no more is buffered than needed, and the end is clean."""
    producers: list[Any] = []
    received = bytearray()
    unsent: list[int] = []

    def produce(protocol: Any) -> None:
        producer = (Pushing if streaming else Pulling)(protocol.transport)
        producers.append(producer)
        protocol.transport.registerProducer(producer, streaming)
        if streaming:
            producer.go()

    def take(protocol: Any, data: bytes) -> None:
        received.extend(data)
        unsent.append(producers[0].transport.unsent)

    server = Factory.forProtocol(journal.protocol("server", connectionMade=produce))
    client = journal.client_factory(
        journal.protocol("client", dataReceived=take),
        clientConnectionLost=lambda connector, reason: reactor.stop(),
    )
    connect(reactor, kind, tmp_path, server, client)
    run()
    assert bytes(received) == bytes(SIZE)
    assert "clientConnectionLost ConnectionDone" in journal
    assert max(unsent) <= 64 * 1024 + 2 * PIECE
    told = producers[0].told
    if streaming:
        assert told[:2] == ["pause", "resume"]
    else:
        assert told == ["resume"] * (SIZE // PIECE)


@pytest.mark.parametrize("kind", ["tcp", "ssl", "unix"])
def test_stopped(reactor: Reactor, run: Run, journal: Any, tmp_path: Path, kind: str) -> None:
    """A producer whose connection is cut is stopped."""
    producers: list[Any] = []

    def produce(protocol: Any) -> None:
        producers.append(Pushing(protocol.transport))
        protocol.transport.registerProducer(producers[0], True)
        protocol.transport.write(b"begin")

    server = Factory.forProtocol(
        journal.protocol("server", connectionMade=produce, connectionLost=lambda *_: reactor.stop())
    )
    client = journal.client_factory(
        journal.protocol("client", dataReceived=lambda p, data: p.transport.abortConnection())
    )
    connect(reactor, kind, tmp_path, server, client)
    run()
    assert producers[0].told[-1] == "stop"
