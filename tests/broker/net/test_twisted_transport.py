"""Unsent bytes on a transport of Twisted, with its own buffer and a socket of the test."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor

from broker.net.twisted_transport import TwistedTransport

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
        self.adapter = TwistedTransport(self.line, scheduler, self._count)

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
    assert world.adapter.held == 200_000
    world.turns.turn()
    assert world.adapter.held == 200_000
    world.line.take_all()
    assert (world.adapter.held, world.drained) == (0, 1)
    world.adapter.write(b"little")
    assert world.adapter.held == 6
    world.turns.turn()
    assert world.adapter.held == 0
    world.adapter.write(MUCH)
    world.adapter.stopProducing()
    assert world.adapter.held == 0
