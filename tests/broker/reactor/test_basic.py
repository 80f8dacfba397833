"""FileSender: a file that is sent in pieces."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest
import twisted.protocols.basic

from broker.reactor import Reactor
from broker.reactor.basic import FileSender
from broker.reactor.protocol import ClientFactory, Factory, Protocol


class Consumer:
    """Asks for one piece after another."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keep a pull producer."""
        assert not streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Forget it."""
        self.producer = None

    def write(self, data: bytes) -> None:
        """Keep a piece."""
        self.pieces.append(data)

    def pull(self) -> None:
        """Request pieces until the producer has finished."""
        while self.producer is not None:
            self.producer.resumeProducing()


SENDERS = [FileSender, twisted.protocols.basic.FileSender]


@pytest.mark.parametrize("make", SENDERS, ids=["ours", "twisted"])
def test_pieces(make: Callable[[], Any]) -> None:
    """A file is sent in pieces of 16 KiB, from its position; the result is the last byte."""
    data = os.urandom(40_000)
    file = io.BytesIO(data)
    file.seek(1000)
    consumer, results = Consumer(), []
    sender = make()
    sender.beginFileTransfer(file, consumer).addCallback(results.append)
    sender.pauseProducing()
    consumer.pull()
    assert [len(piece) for piece in consumer.pieces] == [16384, 16384, 6232]
    assert b"".join(consumer.pieces) == data[1000:]
    assert results == [data[-1:]]
    assert not file.closed


@pytest.mark.parametrize("make", SENDERS, ids=["ours", "twisted"])
def test_transform(make: Callable[[], Any]) -> None:
    """Each piece is sent transformed; an empty file sends nothing."""
    consumer, results = Consumer(), []
    sender = make()
    sender.beginFileTransfer(io.BytesIO(b"abc"), consumer, bytes.upper).addCallback(results.append)
    consumer.pull()
    sender.beginFileTransfer(io.BytesIO(b""), consumer, bytes.upper).addCallback(results.append)
    consumer.pull()
    assert consumer.pieces == [b"ABC"]
    assert results == [b"C", b"C"]


@pytest.mark.parametrize("make", SENDERS, ids=["ours", "twisted"])
def test_consumer_goes(make: Callable[[], Any]) -> None:
    """A consumer that closes before the end fails the transfer."""
    failures: list[Any] = []
    consumer, sender = Consumer(), make()
    sender.beginFileTransfer(io.BytesIO(b"abc"), consumer).addErrback(failures.append)
    sender.stopProducing()
    assert [failure.type for failure in failures] == [Exception]
    assert sender.deferred is None


def test_broken_file() -> None:
    """An exception of reading, or of transform, fails the transfer and releases the consumer."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is gone")

    failures: list[Any] = []
    consumer = Consumer()
    FileSender().beginFileTransfer(Broken(), consumer).addErrback(failures.append)
    consumer.pull()
    FileSender().beginFileTransfer(io.BytesIO(b"x"), consumer, lambda data: 1 / 0).addErrback(
        failures.append
    )
    consumer.pull()
    assert [failure.type for failure in failures] == [OSError, ZeroDivisionError]
    stale = FileSender()
    stale.resumeProducing()


def test_over_tcp(reactor: Reactor, run: Callable[[], None]) -> None:
    """A file is sent over a connection complete, and the connection can be closed after it."""
    data = os.urandom(1_000_000)
    got = bytearray()

    class Sending(Protocol):
        def connectionMade(self) -> None:
            sent = FileSender().beginFileTransfer(io.BytesIO(data), self.transport)
            sent.addCallback(lambda last: self.transport.loseConnection())

    class Taking(Protocol):
        def dataReceived(self, piece: bytes) -> None:
            got.extend(piece)

        def connectionLost(self, reason: Any = None) -> None:
            reactor.stop()

    port = reactor.listenTCP(0, Factory.forProtocol(Sending), interface="127.0.0.1")
    factory = ClientFactory.forProtocol(Taking)
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    run()
    assert bytes(got) == data
