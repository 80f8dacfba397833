"""Unsent bytes on a transport of Twisted, with its own buffer and a socket of the test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.memory import FakeTransport
from twisted.internet.abstract import FileDescriptor
from twisted.internet.task import Clock

from broker.net.transport_port import LINGER_TIME
from broker.net.twisted_transport import PlainTransport, TwistedTransport, port_of

MUCH = b"x" * 100_000


class Reactor:
    """Watches nothing; the test tells when the socket is writable."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


class Line(FileDescriptor):
    """A transport whose socket takes ``accepts`` bytes."""

    def __init__(self) -> None:
        super().__init__(Reactor())
        self.connected = 1
        self.accepts = 0
        self.sent = b""
        self.is_closed = False

    def writeSomeData(self, data: bytes) -> int:  # noqa: D102 - Twisted's
        taken = bytes(data[: self.accepts])
        self.sent += taken
        return len(taken)

    def take_all(self) -> None:
        """Let the socket take all bytes."""
        self.accepts = 1 << 30
        for _ in range(3):
            if self.doWrite() is not None:
                self.is_closed = True
        self.accepts = 0


class Turns:
    """A scheduler whose next turn the test starts."""

    def __init__(self) -> None:
        self._calls: list[Any] = []

    def soon(self, f: Any, *args: Any) -> None:
        """Keep the call."""
        self._calls.append((f, args))

    def turn(self) -> None:
        """Run the next turn."""
        calls, self._calls = self._calls, []
        for f, args in calls:
            f(*args)


class World:
    """A transport, its adapter, and how often that was drained."""

    def __init__(self) -> None:
        self.line = Line()
        self.turns = Turns()
        self.drained = 0
        scheduler: Any = self.turns
        self.adapter = TwistedTransport(self.line, scheduler)
        self.adapter.on_drained = self._count

    def _count(self) -> None:
        self.drained += 1


class Puller:
    """A pull producer that writes once."""

    def __init__(self, adapter: TwistedTransport):
        self.adapter = adapter
        self.pulls = 0

    def resumeProducing(self) -> None:  # noqa: D102 - Twisted's
        self.pulls += 1
        if self.pulls == 1:
            self.adapter.write(b"page")
        else:
            self.adapter.unregisterProducer()

    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def stopProducing(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def world() -> World:
    """A transport and its adapter."""
    return World()


def test_little(world: World) -> None:
    """A small write leaves no unsent bytes, and no producer after the turn."""
    world.adapter.write(b"little")
    world.turns.turn()
    assert world.line.producer is None
    world.line.take_all()
    assert (world.line.sent, world.adapter.unsent, world.drained) == (b"little", 0, 0)


def test_much(world: World) -> None:
    """While many bytes are unsent this is reported, and the end of it once."""
    for _ in range(3):
        world.adapter.write(MUCH)
        world.turns.turn()
        assert world.adapter.unsent > 64 * 1024
    world.line.take_all()
    assert (world.line.sent, world.adapter.unsent, world.drained) == (3 * MUCH, 0, 1)
    assert world.line.producer is None


@pytest.mark.parametrize("data", [b"little", MUCH])
def test_closing(world: World, data: bytes) -> None:
    """The transport closes after the written bytes, full or not."""
    world.adapter.write(data)
    world.line.loseConnection()
    world.turns.turn()
    world.line.take_all()
    assert (data, True) == (world.line.sent, world.line.is_closed)


def test_pages_on_a_full_transport(world: World) -> None:
    """A producer can be registered while the transport is full; held bytes are sent then."""
    world.adapter.write(MUCH)
    puller = Puller(world.adapter)
    world.adapter.registerProducer(puller, False)
    world.turns.turn()
    assert (world.adapter.unsent, world.drained) == (0, 1)
    world.line.take_all()
    assert (puller.pulls, world.line.sent) == (2, MUCH + b"page")
    world.adapter.write(MUCH)
    assert world.adapter.unsent


def test_a_producer_of_the_application_s(world: World) -> None:
    """A producer that the application registered at the transport stays, and writing continues."""
    theirs = Puller(world.adapter)
    theirs.pulls = 1
    world.line.registerProducer(theirs, True)
    world.adapter.write(MUCH)
    assert theirs is world.line.producer


def test_the_end(world: World) -> None:
    """After the end of the connection no bytes are unsent, and no callback is called."""
    world.adapter.write(MUCH)
    world.line.connectionLost(None)
    world.turns.turn()
    assert (world.adapter.unsent, world.drained) == (0, 0)


def test_what_may_be_unsent() -> None:
    """All bytes written since the transport was empty are counted as held; later none."""
    world = World()
    world.adapter.write(MUCH)
    world.adapter.write(MUCH)
    assert world.adapter.most_unsent == 200_000
    world.turns.turn()
    assert world.adapter.most_unsent == 200_000
    world.line.take_all()
    assert (world.adapter.most_unsent, world.drained) == (0, 1)
    world.adapter.write(b"little")
    assert world.adapter.most_unsent == 6
    world.turns.turn()
    assert world.adapter.most_unsent == 0
    world.adapter.write(MUCH)
    world.line.connectionLost(None)
    assert world.adapter.most_unsent == 0


class UNIXAddress:
    """The name that UNIX addresses have, ours and Twisted's."""


def transport(peer: Any, **more: Any) -> Any:
    """A transport to a peer."""
    return SimpleNamespace(getPeer=lambda: peer, write=print, **more)


@pytest.mark.parametrize(
    ("given", "private"),
    [
        (transport(SimpleNamespace(host="127.0.0.1")), True),
        (transport(SimpleNamespace(host="::1")), True),
        (transport(SimpleNamespace(host="192.0.2.1")), False),
        (transport(SimpleNamespace(host=None)), False),
        (transport(None), False),
        (transport(UNIXAddress()), True),
        (transport(SimpleNamespace(host="192.0.2.1"), is_secure=True), True),
        (transport(SimpleNamespace(host="192.0.2.1"), is_secure=False), False),
        (transport(SimpleNamespace(host="192.0.2.1"), getPeerCertificate=lambda: None), True),
        (SimpleNamespace(write=print), False),
    ],
)
def test_private(given: Any, private: bool) -> None:
    """A password may cross TLS, the loopback or a UNIX socket, and no other transport."""
    assert port_of(given).is_private is private


class Everything:
    """A transport with all optional methods, which records their calls."""

    reactor: Any = Reactor()

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("scheduler", "getHandle", "transport", "is_secure", "peer_certificate"):
            raise AttributeError(name)
        return lambda *args: self.calls.append(name)


class Nothing:
    """A transport that can write and close."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        """Record the bytes."""
        self.calls.append(data.decode())

    def loseConnection(self) -> None:
        """Record the call."""
        self.calls.append("loseConnection")


def test_ours_is_not_adapted() -> None:
    """A subclass of TransportPort is returned as it is."""
    ours = FakeTransport(None)
    assert port_of(ours) is ours


def test_a_transport_of_twisted() -> None:
    """The methods that it has are called."""
    transport = Everything()
    port = port_of(transport)
    assert type(port) is TwistedTransport
    port.pause_reading()
    port.resume_reading()
    port.loseConnection()
    port.abortConnection()
    assert transport.calls == [
        "pauseProducing",
        "resumeProducing",
        "loseConnection",
        "abortConnection",
    ]
    assert port.is_private


@pytest.mark.parametrize("at_once", [False, True])
def test_a_transport_that_is_left(at_once: bool) -> None:
    """It is closed; at once it is not read any more, and is cut after a while."""
    transport, clock = Everything(), Clock()
    transport.reactor = clock
    port_of(transport).leave(at_once=at_once)
    assert transport.calls == ["pauseProducing"] * at_once + ["loseConnection"]
    clock.advance(LINGER_TIME)
    assert transport.calls[1 + at_once :] == ["abortConnection"] * at_once


def test_a_transport_that_only_writes() -> None:
    """What it cannot do is not done; it is closed where it cannot be cut."""
    transport = Nothing()
    port = port_of(transport)
    assert type(port) is PlainTransport
    port.write(b"data")
    port.pause_reading()
    port.resume_reading()
    port.watch_peer(1, 1)
    port.when_secured(lambda: transport.calls.append("secured"))
    port.abortConnection()
    port.leave(at_once=True)
    assert transport.calls == ["data", "secured", "loseConnection", "loseConnection"]
    state = (port.unsent, port.most_unsent, port.is_closing, port.is_reading, port.is_unsent_exact)
    assert state == (0, 0, False, True, False)
    who = (port.peer_address, port.peer_certificate, port.verified_chain(), port.channel_binding())
    assert who == (None, None, (), None)
    assert (port.is_secure, port.is_private) == (False, False)
