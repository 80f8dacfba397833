"""TransportPort: each transport of this library defines all of it."""

from __future__ import annotations

import inspect

import pytest
from support.memory import FakeTransport

from broker.net.tls.transport import SecureTransport
from broker.net.transport_port import TransportPort
from broker.net.transports import StreamTransport
from broker.net.twisted_transport import PlainTransport, TwistedTransport
from broker.reactor.engine.processes import ProcessTransport

TRANSPORTS = [
    FakeTransport,
    PlainTransport,
    ProcessTransport,
    SecureTransport,
    StreamTransport,
    TwistedTransport,
]


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_complete(kind: type) -> None:
    """No transport inherits a member of the Protocol, which does nothing."""
    members = {name for name in vars(TransportPort) if not name.startswith("_")}
    assert len(members) > 20
    inherited = {
        name
        for name in members
        if inspect.getattr_static(kind, name) is inspect.getattr_static(TransportPort, name)
    }
    assert inherited == set()
