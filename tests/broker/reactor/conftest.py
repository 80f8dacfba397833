"""A new reactor for each test, and a way to run it with a time limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from broker.failure import Failure
from broker.reactor import Reactor
from broker.reactor.protocol import ClientFactory, Protocol


@pytest.fixture
def reactor() -> Reactor:
    """A reactor that has not run."""
    return Reactor()


@pytest.fixture
def run(reactor: Reactor) -> Callable[[], None]:
    """Run the reactor until it is stopped; fail if it runs longer than ten seconds."""

    def run_it() -> None:
        late: list[str] = []

        def give_up() -> None:
            late.append("nothing stopped the reactor")
            reactor.stop()

        reactor.callLater(10, give_up)
        reactor.run()
        assert late == []

    return run_it


class Journal(list[Any]):
    """The events of a test in order, recorded by its protocol and factory classes."""

    def protocol(self, side: str, **reactions: Callable[..., object]) -> type[Protocol]:
        """A protocol class that records each event as ``side event`` and calls its reaction."""
        journal = self

        def react(name: str, protocol: Protocol, *args: Any) -> None:
            if name in reactions:
                reactions[name](protocol, *args)

        class Noting(Protocol):
            def connectionMade(self) -> None:
                journal.append(f"{side} connectionMade")
                react("connectionMade", self)

            def dataReceived(self, data: bytes) -> None:
                react("dataReceived", self, data)

            def connectionLost(self, reason: Failure = None) -> None:
                journal.append(f"{side} connectionLost {reason.type.__name__}")
                react("connectionLost", self, reason)

        return Noting

    def client_factory(
        self, protocol: type[Protocol] | None, **reactions: Callable[..., object]
    ) -> ClientFactory:
        """A client factory that records its calls; `protocol` None refuses each connection."""
        journal = self

        class Noting(ClientFactory):
            noisy = False

            def startFactory(self) -> None:
                journal.append("startFactory")

            def stopFactory(self) -> None:
                journal.append("stopFactory")

            def startedConnecting(self, connector: Any) -> None:
                journal.append(f"startedConnecting {connector.state}")
                self.react("startedConnecting", connector)

            def buildProtocol(self, addr: Any) -> Any:
                journal.append("buildProtocol")
                return None if protocol is None else super().buildProtocol(addr)

            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                journal.append(f"clientConnectionFailed {reason.type.__name__}")
                self.react("clientConnectionFailed", connector, reason)

            def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
                journal.append(f"clientConnectionLost {reason.type.__name__}")
                self.react("clientConnectionLost", connector, reason)

            def react(self, name: str, *args: Any) -> None:
                if name in reactions:
                    reactions[name](*args)

        factory = Noting()
        factory.protocol = protocol
        return factory


@pytest.fixture
def journal() -> Journal:
    """An empty journal."""
    return Journal()
