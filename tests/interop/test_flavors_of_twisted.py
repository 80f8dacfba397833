"""Objects of Twisted's flavors, from a part of a program that was not moved, at our Broker.

The peer is a Broker of this library, in each dialect, or Twisted's. Bytes cross in memory.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.memory import PUBLISHED_WIRE, BrokerPair
from twisted.cred import portal as twisted_portal
from twisted.internet import defer as twisted_defer
from twisted.internet.testing import StringTransport
from twisted.spread import pb as twisted_pb
from zope.interface import implementer

from broker import pb
from broker.core.policy import PUBLISHED
from cred import checkers, credentials, portal


class Seat(twisted_pb.Copyable):  # type: ignore[misc]
    """A copy."""

    def __init__(self, row: str):
        self.row = row


class RemoteSeat(pb.RemoteCopy):
    """The receiver's class for it."""

    row: str


class TwistedRemoteSeat(twisted_pb.RemoteCopy):  # type: ignore[misc]
    """The receiver's class for it in Twisted."""


class Bell(twisted_pb.Referenceable):  # type: ignore[misc]
    """A reference."""

    def __init__(self) -> None:
        self.rung = 0

    def remote_ring(self, times: int) -> Any:
        """Count; return a Twisted Deferred."""
        self.rung += times
        return twisted_defer.succeed(self.rung)

    def remote_break(self) -> None:
        """Raise an error of Twisted."""
        raise twisted_pb.Error("broken")


class Stage(twisted_pb.Viewable):  # type: ignore[misc]
    """A view."""

    def view_look(self, perspective: Any, how: str) -> list[Any]:
        """Return the perspective."""
        return [getattr(perspective, "name", None), how]


class House(twisted_pb.Root):  # type: ignore[misc]
    """A root that returns all of these, and receives them back."""

    def __init__(self) -> None:
        self.bell = Bell()

    def remote_seats(self) -> list[Seat]:
        """Return one copy twice."""
        seat = Seat("C")
        return [seat, seat]

    def remote_bell(self) -> Bell:
        """Return a reference."""
        return self.bell

    def remote_is_bell(self, thing: Any) -> bool:
        """Return whether the argument is the same object."""
        return thing is self.bell

    def remote_hall(self) -> Any:
        """Return a value that cannot be sent."""
        return twisted_pb.Cacheable()

    def remote_stage(self) -> Stage:
        """Return a view without a perspective."""
        return Stage()


class TwistedPair:
    """Our server's Broker, and Twisted's for a client, joined in memory."""

    def __init__(self, root: Any):
        self.client = twisted_pb.Broker(True)
        self.client.factory = SimpleNamespace(clientConnectionMade=lambda broker: None)
        self.server: Any = pb.Broker(False)
        self.server.setNameForLocal("root", root)
        self._transports = {self.server: StringTransport(), self.client: StringTransport()}
        for broker, transport in self._transports.items():
            broker.makeConnection(transport)
        self.root = self.client.remoteForName("root")
        self.exchange()

    def exchange(self) -> None:
        """Let all bytes cross."""
        busy = True
        while busy:
            busy = False
            for sender, receiver in (self.server, self.client), (self.client, self.server):
                data = self._transports[sender].value()
                self._transports[sender].clear()
                if data:
                    receiver.dataReceived(data)
                    busy = True

    def get(self, deferred: Any) -> Any:
        """Exchange, and return the result or Failure."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.exchange()
        return results[0]


PAIRS = {
    "msgpack": lambda root: BrokerPair(root, policy=PUBLISHED),
    "pb": lambda root: BrokerPair(root, policy=PUBLISHED.but(dialects=PUBLISHED_WIRE.dialects)),
    "twisted": TwistedPair,
}


@pytest.fixture(autouse=True)
def registered() -> Any:
    """Register the copy, in both libraries."""
    pb.setUnjellyableForClass(Seat, RemoteSeat)
    twisted_pb.setUnjellyableForClass(Seat, TwistedRemoteSeat)


@pytest.fixture(params=PAIRS)
def pair(request: Any) -> Any:
    """A connection to a House."""
    return PAIRS[request.param](House())


def call(pair: Any, target: Any, *args: Any) -> Any:
    """Return the result of a call."""
    return pair.get(target.callRemote(*args))


def test_copies(pair: Any) -> None:
    """A copy arrives as the class that is registered for it, with the same sharing."""
    first, second = call(pair, pair.root, "seats")
    assert first is second
    assert type(first) in (RemoteSeat, TwistedRemoteSeat)
    assert first.row == "C"


def test_references(pair: Any) -> None:
    """A reference can be called, its Deferreds and errors are answers, and it can be sent back."""
    bell = call(pair, pair.root, "bell")
    assert call(pair, bell, "ring", 2) == 2
    assert call(pair, bell, "ring", 3) == 5
    assert call(pair, pair.root, "is_bell", bell) is True
    broken = call(pair, bell, "break")
    assert broken.check(pb.Error) or broken.check(twisted_pb.Error)
    missing = call(pair, bell, "crack")
    assert missing.check(pb.NoSuchMethod) or missing.check(twisted_pb.NoSuchMethod)


def test_views(pair: Any) -> None:
    """A view receives the perspective."""
    stage = call(pair, pair.root, "stage")
    assert call(pair, stage, "look", "up") == [None, "up"]


def test_a_cache_is_refused(pair: Any) -> None:
    """A call that would send a cache fails with the reason; the connection continues."""
    failure = call(pair, pair.root, "hall")
    assert "is a Cacheable of Twisted's" in failure.getErrorMessage()
    assert call(pair, call(pair, pair.root, "bell"), "ring", 1) == 1


class Member(twisted_pb.Avatar):  # type: ignore[misc]
    """An avatar."""

    name = "alice"

    def perspective_greet(self, word: str) -> str:
        """Answer."""
        return f"{word}, {self.name}"

    def perspective_stage(self) -> Stage:
        """Return a view for this member."""
        return Stage()


@implementer(portal.IRealm)
class Realm:
    """Makes every user the member."""

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Return the three."""
        return interfaces[0], Member(), lambda: None


def test_avatars() -> None:
    """A Twisted avatar is called as in Twisted, and its views get it as the perspective."""
    checker = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    served = pb.PBServerFactory(portal.Portal(Realm(), [checker]))
    server = served.buildProtocol(None)
    pair = BrokerPair(policy=PUBLISHED, connect=False)
    pair._transports[server] = pair._transports.pop(pair.server)
    pair.server = server
    factory = pb.PBClientFactory()
    factory.protocol = lambda *args, **kw: pair.client
    factory.buildProtocol(None)
    pair.connect()
    avatar = pair.get(factory.login(credentials.UsernamePassword(b"alice", b"secret")))
    assert pair.get(avatar.callRemote("greet", "hello")) == "hello, alice"
    stage = pair.get(avatar.callRemote("stage"))
    assert pair.get(stage.callRemote("look", "up")) == ["alice", "up"]


def test_roots() -> None:
    """A Twisted Root is served; an object that is neither that nor our Portal is named in full."""
    root = House()
    assert pb.PBServerFactory(root).root is root
    with pytest.raises(TypeError, match=r"not twisted\.cred\.portal\.Portal$"):
        pb.PBServerFactory(twisted_portal.Portal(Realm()))
