"""ReconnectingClientFactory with PBClientFactory: a client logs in again."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from broker import pb
from broker.defer import Deferred
from broker.reactor import Reactor
from broker.reactor.protocol import Protocol, ReconnectingClientFactory
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

Run = Callable[[], None]
HOST = "127.0.0.1"


class User(pb.Avatar):
    """An avatar that counts its calls."""

    def __init__(self, calls: list[str]):
        self.calls = calls

    def perspective_visit(self, text: str) -> int:
        """Count a call."""
        self.calls.append(text)
        return len(self.calls)


class Realm:
    """Gives every user the same list of calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        """Give an avatar."""
        return interfaces[0], User(self.calls), lambda: None


class Plain(ReconnectingClientFactory, pb.PBClientFactory):
    """Reconnects, and logs in when it is connected."""

    noisy = False
    initialDelay = delay = 0.01

    def __init__(self, visited: Callable[[Any], object]):
        super().__init__()
        self.visited = visited

    def clientConnectionMade(self, broker: Any) -> None:
        """Log in."""
        self.resetDelay()
        super().clientConnectionMade(broker)
        self.login(UsernamePassword(b"user", b"pass")).addCallback(self.visited)


class Documented(Plain):
    """Tells PBClientFactory that another connection will follow."""

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        """Keep the Deferreds that wait for the root, and connect again."""
        pb.PBClientFactory.clientConnectionLost(self, connector, reason, reconnecting=1)
        ReconnectingClientFactory.clientConnectionLost(self, connector, reason)


def serve(reactor: Reactor) -> tuple[Realm, Any]:
    """A server with a login."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"pass")
    realm = Realm()
    factory = pb.PBServerFactory(Portal(realm, [checker]))
    return realm, reactor.listenTCP(0, factory, interface=HOST)


@pytest.mark.parametrize("kind", [Plain, Documented])
@pytest.mark.row("B16")
def test_logs_in_again(reactor: Reactor, run: Run, kind: type[Plain]) -> None:
    """After each loss the factory connects and logs in again, and calls go through."""
    realm, port = serve(reactor)
    roots: list[Any] = []

    def visited(avatar: Any) -> None:
        avatar.callRemote("visit", f"visit {len(realm.calls)}").addCallback(counted, avatar)

    def counted(number: int, avatar: Any) -> None:
        if number == 3:
            factory.stopTrying()
            reactor.stop()
            return
        avatar.broker.transport.abortConnection()
        # Requested without a connection: it waits for the next one.
        reactor.callLater(0, lambda: wait(factory.getRootObject()))

    def wait(root: Deferred[Any]) -> None:
        root.addCallback(roots.append)

    factory = kind(visited)
    factory.clock = reactor
    reactor.connectTCP(HOST, port.getHost().port, factory)
    run()
    assert realm.calls == ["visit 0", "visit 1", "visit 2"]
    assert len(roots) == 2


@pytest.mark.row("B16")
def test_until_the_server_is_there(reactor: Reactor, run: Run) -> None:
    """Failed attempts are repeated until a server listens; stopTrying ends that."""
    made: list[Any] = []

    class Factory(ReconnectingClientFactory):
        noisy = False
        initialDelay = delay = 0.01
        clock = reactor

        def buildProtocol(self, addr: Any) -> Any:
            self.resetDelay()
            made.append(self.retries)
            self.stopTrying()
            reactor.callLater(0, reactor.stop)
            return Protocol()

        def startedConnecting(self, connector: Any) -> None:
            if self.retries == 2:
                port.startListening()

    port = reactor.listenTCP(0, pb.PBServerFactory(pb.Root()), interface=HOST)
    port.port = port.getHost().port
    port.stopListening()
    reactor.connectTCP(HOST, port.port, Factory())
    run()
    assert made == [0]


def test_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is by chance near that which the one before asked for, and asks for a longer one."""
    waited: list[float] = []
    clock = SimpleNamespace(callLater=lambda delay, *call: waited.append(delay))
    factory = ReconnectingClientFactory()
    factory.noisy, factory.clock, factory.factor, factory.maxDelay = False, clock, 2, 10
    monkeypatch.setattr("random.normalvariate", lambda mean, deviation: mean + 4 * deviation)
    factory.jitter = 0.25
    for _ in range(4):
        factory.retry("a connector")
    assert waited == [2, 8, 20, 20]
    factory.jitter = None
    factory.resetDelay()
    for _ in range(5):
        factory.retry("a connector")
    assert waited[4:] == [1, 2, 4, 8, 10]
