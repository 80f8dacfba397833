"""What is unsent on a transport of Twisted's: on Twisted's own buffer, whose socket is a test's."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor

from broker.net.twisted_transport import TwistedTransport

MUCH = b"x" * 100_000


class Reactor:
    """Watches nothing; a test says when there is room."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


class Line(FileDescriptor):
    """A transport whose socket takes ``room`` bytes."""

    def __init__(self) -> None:
        super().__init__(Reactor())
        self.connected = 1
        self.room = 0
        self.sent = b""
        self.is_closed = False

    def writeSomeData(self, data: bytes) -> int:  # noqa: D102 - Twisted's
        taken = bytes(data[: self.room])
        self.sent += taken
        return len(taken)

    def take_all(self) -> None:
        """Let the socket take whatever there is."""
        self.room = 1 << 30
        for _ in range(3):
            if self.doWrite() is not None:
                self.is_closed = True
        self.room = 0


class Turns:
    """A scheduler whose next turn comes when a test says so."""

    def __init__(self) -> None:
        self._calls: list[Any] = []

    def soon(self, f: Any, *args: Any) -> None:
        """Remember."""
        self._calls.append((f, args))

    def turn(self) -> None:
        """Let the next turn come."""
        calls, self._calls = self._calls, []
        for f, args in calls:
            f(*args)


class World:
    """A transport, its backlog, and how often that was drained."""

    def __init__(self) -> None:
        self.line = Line()
        self.turns = Turns()
        self.drained = 0
        scheduler: Any = self.turns
        self.backlog = TwistedTransport(self.line, scheduler, self._count)

    def _count(self) -> None:
        self.drained += 1


class Puller:
    """A pull producer that writes once."""

    def __init__(self, backlog: TwistedTransport):
        self.backlog = backlog
        self.pulls = 0

    def resumeProducing(self) -> None:  # noqa: D102 - Twisted's
        self.pulls += 1
        if self.pulls == 1:
            self.backlog.write(b"page")
        else:
            self.backlog.unregisterProducer()

    def pauseProducing(self) -> None:
        """Nothing to pause."""

    def stopProducing(self) -> None:
        """Nothing to stop."""


@pytest.fixture
def world() -> World:
    """Give a transport and its backlog."""
    return World()


def test_little(world: World) -> None:
    """What fits leaves nothing unsent, and no producer once the turn is over."""
    world.backlog.write(b"little")
    world.turns.turn()
    assert world.line.producer is None
    world.line.take_all()
    assert (world.line.sent, world.backlog.unsent, world.drained) == (b"little", 0, 0)


def test_much(world: World) -> None:
    """While much is unsent that is told, and the end of it once."""
    for _ in range(3):
        world.backlog.write(MUCH)
        world.turns.turn()
        assert world.backlog.unsent > 64 * 1024
    world.line.take_all()
    assert (world.line.sent, world.backlog.unsent, world.drained) == (3 * MUCH, 0, 1)
    assert world.line.producer is None


@pytest.mark.parametrize("data", [b"little", MUCH])
def test_closing(world: World, data: bytes) -> None:
    """The transport closes after what was written, full or not."""
    world.backlog.write(data)
    world.line.loseConnection()
    world.turns.turn()
    world.line.take_all()
    assert (data, True) == (world.line.sent, world.line.is_closed)


def test_pages_on_a_full_transport(world: World) -> None:
    """A producer can be registered while the transport is full; what was held goes on then."""
    world.backlog.write(MUCH)
    puller = Puller(world.backlog)
    world.backlog.registerProducer(puller, False)
    world.turns.turn()
    assert (world.backlog.unsent, world.drained) == (0, 1)
    world.line.take_all()
    assert (puller.pulls, world.line.sent) == (2, MUCH + b"page")
    world.backlog.write(MUCH)
    assert world.backlog.unsent


def test_a_producer_of_the_application_s(world: World) -> None:
    """One that is registered at the transport itself stays, and writing goes on."""
    theirs = Puller(world.backlog)
    theirs.pulls = 1
    world.line.registerProducer(theirs, True)
    world.backlog.write(MUCH)
    assert theirs is world.line.producer


def test_the_end(world: World) -> None:
    """When the connection has gone, nothing is unsent, and nothing is told."""
    world.backlog.write(MUCH)
    world.line.connectionLost(None)
    world.turns.turn()
    assert (world.backlog.unsent, world.drained) == (0, 0)


def test_what_may_be_unsent() -> None:
    """All that was written since the transport was empty is held; then nothing is."""
    world = World()
    world.backlog.write(MUCH)
    world.backlog.write(MUCH)
    assert world.backlog.held == 200_000
    world.turns.turn()
    assert world.backlog.held == 200_000
    world.line.take_all()
    assert (world.backlog.held, world.drained) == (0, 1)
    world.backlog.write(b"little")
    assert world.backlog.held == 6
    world.turns.turn()
    assert world.backlog.held == 0
    world.backlog.write(MUCH)
    world.backlog.stopProducing()
    assert world.backlog.held == 0
