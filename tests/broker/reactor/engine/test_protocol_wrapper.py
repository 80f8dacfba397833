"""The wrapper between a transport and its protocol."""

from __future__ import annotations

from typing import Any

import pytest

from broker.failure import Failure
from broker.reactor.engine.protocol_wrapper import ProtocolWrapper
from broker.reactor.protocol import Protocol, connectionDone


class Recorder(Protocol):
    """Records its calls."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def dataReceived(self, data: bytes) -> None:  # noqa: D102 - published
        self.events.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: D102 - published
        self.events.append(reason)


class Cuttable:
    """A transport that counts how often it was aborted."""

    cuts = 0

    def abortConnection(self) -> None:  # noqa: D102 - published
        self.cuts += 1


def test_everything_gets_through() -> None:
    """The protocol gets the transport, the bytes and the reason; then the owner is told."""
    protocol, transport = Recorder(), Cuttable()
    wrapper = ProtocolWrapper(protocol, lambda *args: protocol.events.append(args))
    wrapper.makeConnection(transport)
    wrapper.dataReceived(b"data")
    wrapper.connectionLost(connectionDone)
    assert protocol.transport is wrapper.transport is transport
    assert protocol.events == [b"data", connectionDone, (wrapper, connectionDone)]


def test_raising_protocol() -> None:
    """The owner is told also when the protocol's connectionLost raises, and that is raised."""

    class Raising(Protocol):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            raise KeyError("not mine")

    told: list[Failure] = []
    wrapper = ProtocolWrapper(Raising(), lambda _, reason: told.append(reason))
    with pytest.raises(KeyError):
        wrapper.connectionLost(connectionDone)
    assert told == [connectionDone]


def test_abandon() -> None:
    """An abandoned connection is aborted."""
    transport = Cuttable()
    wrapper = ProtocolWrapper(Recorder(), print)
    wrapper.makeConnection(transport)
    wrapper.abandon()
    assert transport.cuts == 1
