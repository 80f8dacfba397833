"""The published module of banana: the protocol, alone and against Twisted's, and its settings."""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.spread import banana as twisted_banana

from jelly import banana
from jelly.errors import BananaError, EncodeError, LimitExceeded, TooLarge
from jelly.registry import defaults

PB = [[b"message", 1, b"root", b"echo"], -(2**40), 1.5, b"x" * 300, [], 2**447]


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: deque[bytes] = deque()
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def loseConnection(self) -> None:
        """Note it."""
        self.closed = True


class Received:
    """What a subclass of either Banana notes."""

    received: list[Any]
    ready: int

    def connectionReady(self) -> None:
        """Count it."""
        self.ready = getattr(self, "ready", 0) + 1

    def expressionReceived(self, lst: Any) -> None:
        """Keep it."""
        self.__dict__.setdefault("received", []).append(lst)


class Ours(Received, banana.Banana):
    """Our protocol."""


class Theirs(Received, twisted_banana.Banana):  # type: ignore[misc]
    """Twisted's protocol."""


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """Leave the settings as they were."""
    before = defaults.size_limit, defaults.prefix_limit
    yield
    defaults.size_limit, defaults.prefix_limit = before


def connected(protocol: Any) -> Any:
    """A protocol on a wire of its own."""
    protocol.makeConnection(Wire())
    return protocol


def carry(one: Any, other: Any, chunk: int = 1 << 20) -> None:
    """Take what was written from each to the other, until both are silent."""
    while one.transport.written or other.transport.written:
        for source, target in ((one, other), (other, one)):
            while source.transport.written:
                data = source.transport.written.popleft()
                for begin in range(0, len(data), chunk):
                    target.dataReceived(data[begin : begin + chunk])


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("dialects", [[b"pb", b"none"], [b"none"]])
@pytest.mark.parametrize("kinds", [(Ours, Theirs), (Theirs, Ours), (Ours, Ours)])
def test_talks_with_twisted(kinds: Any, dialects: list[bytes], chunk: int) -> None:
    """Ours and Twisted's agree on a dialect and exchange expressions, whichever is the server."""
    client, server = kinds[0](isClient=1), kinds[1](isClient=0)
    server.knownDialects = dialects
    connected(client)
    connected(server)
    carry(client, server, chunk)
    for end in (client, server):
        assert (end.currentDialect, end.ready) == (dialects[0], 1)
    for expression in PB:
        client.sendEncoded(expression)
        server.sendEncoded(expression)
    carry(client, server, chunk)
    assert client.received == server.received == PB


def test_what_follows_the_choice_at_once() -> None:
    """Bytes behind the client's choice, in the same piece, are of the dialect that it chose."""
    server = connected(Ours(isClient=0))
    server.dataReceived(banana.encode(b"pb") + b"\x1a\x87")
    assert server.received == [b"message"]


@pytest.mark.parametrize("kind", [Ours, Theirs])
def test_no_dialect_in_common(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A client without a dialect in common closes, and says so in the log."""
    client = connected(kind(isClient=1))
    with caplog.at_level(logging.WARNING):
        client.dataReceived(banana.encode([b"morse"]))
    assert client.transport.closed
    assert (client.currentDialect, client.transport.written) == (None, deque())
    if kind is Ours:
        assert "no dialect in common" in caplog.text


@pytest.mark.parametrize("chosen", [b"morse", [b"pb"], 5])
def test_a_choice_that_was_not_offered(chosen: Any) -> None:
    """A server closes when the client chooses what it did not offer."""
    server = connected(Ours(isClient=0))
    server.dataReceived(banana.encode(chosen))
    assert server.transport.closed


def test_an_offer_that_is_none() -> None:
    """A client closes when the server's first expression is no list."""
    client = connected(Ours())
    client.dataReceived(banana.encode(7))
    assert client.transport.closed


def test_a_word_of_pb_in_none() -> None:
    """A vocabulary number is an error in a dialect that has none."""
    client = connected(Ours())
    client.dataReceived(banana.encode([b"none"]))
    with pytest.raises(BananaError, match="unknown vocabulary id 26"):
        client.dataReceived(b"\x1a\x87")


def test_what_came_before_a_fault() -> None:
    """Expressions that were whole before a fault are handed on."""
    client = connected(Ours())
    client.dataReceived(banana.encode([b"none"]))
    with pytest.raises(BananaError):
        client.dataReceived(banana.encode(1) + banana.encode(2) + b"\x99")
    assert client.received == [1, 2]


def test_expressions_need_a_receiver() -> None:
    """A class without ``expressionReceived`` raises NotImplementedError, as published."""
    client = connected(banana.Banana())
    client.dataReceived(banana.encode([b"none"]))
    with pytest.raises(NotImplementedError):
        client.dataReceived(banana.encode(1))


def test_size_limit() -> None:
    """``SIZE_LIMIT`` can be assigned; connections made afterwards and ``encode`` obey it."""
    early = connected(Ours(isClient=0))
    assert banana.SIZE_LIMIT == 640 * 1024
    banana.SIZE_LIMIT = 10
    late = connected(Ours(isClient=0))
    assert (early.sizeLimit, late.sizeLimit) == (640 * 1024, 10)
    early.sendEncoded(b"x" * 11)
    with pytest.raises(TooLarge):
        late.sendEncoded(b"x" * 11)
    with pytest.raises(LimitExceeded):
        late.dataReceived(b"\x0b\x82")
    with pytest.raises(TooLarge):
        banana.encode([0] * 11)
    with pytest.raises(LimitExceeded):
        banana.decode(b"\x0b\x82" + b"x" * 11)


def test_a_subclass_has_its_own_size_limit() -> None:
    """``sizeLimit`` of a subclass is kept."""

    class Small(Ours):
        sizeLimit = 20

    small = connected(Small(isClient=0))
    with pytest.raises(TooLarge):
        small.sendEncoded(b"x" * 21)


def test_set_prefix_limit() -> None:
    """``setPrefixLimit`` of the module is for later connections, of a protocol for itself."""
    early = connected(Ours(isClient=0))
    banana.setPrefixLimit(3)
    late = connected(Ours(isClient=0))
    assert (early.prefixLimit, late.prefixLimit) == (64, 3)
    early.sendEncoded(2**22)
    with pytest.raises(TooLarge):
        late.sendEncoded(2**22)
    with pytest.raises(BananaError, match="longer than 3 bytes"):
        late.dataReceived(b"\x01\x01\x01\x01\x81")
    early.setPrefixLimit(2)
    with pytest.raises(TooLarge):
        early.sendEncoded(2**15)
    with pytest.raises(BananaError, match="longer than 2 bytes"):
        early.dataReceived(b"\x01\x01\x01\x81")


def test_prefix_limit_in_pb() -> None:
    """A limit that is set after the choice keeps the words of the dialect."""
    client = connected(Ours())
    client.dataReceived(banana.encode([b"pb"]))
    client.transport.written.clear()
    client.setPrefixLimit(5)
    client.sendEncoded(b"message")
    assert client.transport.written.pop() == b"\x1a\x87"


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**447])
def test_digits(number: int) -> None:
    """``int2b128`` writes what Twisted's does, and ``b1282int`` reads it."""
    ours, theirs = io.BytesIO(), io.BytesIO()
    banana.int2b128(number, ours.write)
    twisted_banana.int2b128(number, theirs.write)
    assert ours.getvalue() == theirs.getvalue()
    assert banana.b1282int(ours.getvalue()) == number


def test_digits_of_no_number() -> None:
    """A negative number has no digits."""
    with pytest.raises(ValueError, match="not negative"):
        banana.int2b128(-1, print)


def test_what_cannot_be_sent() -> None:
    """``sendEncoded`` of something else raises, and writes nothing."""
    end = connected(Ours())
    with pytest.raises(EncodeError):
        end.sendEncoded([1, "text"])
    assert not end.transport.written


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x81\x02\x81", b"\x02\x80\x01\x81"])
def test_decode_wants_one(data: bytes) -> None:
    """``decode`` takes exactly one whole expression."""
    with pytest.raises(BananaError, match="not exactly one"):
        banana.decode(data)
