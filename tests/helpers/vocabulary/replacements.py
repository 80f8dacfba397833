"""What the walk goes through: the modules of the package's table, and what a reactor gives."""

from __future__ import annotations

from broker.porting.replacements import INTERFACES, REACTOR, REPLACEMENTS, Replacement

__all__ = ["OBJECTS", "REACTOR", "REPLACEMENTS", "Replacement"]

_INTERFACES = INTERFACES.theirs
OBJECTS = [
    Replacement(f"{_INTERFACES}.ITCPTransport", "broker.net.transports.StreamTransport"),
    Replacement(f"{_INTERFACES}.ISSLTransport", "broker.net.tls.transport.SecureTransport"),
    Replacement(f"{_INTERFACES}.IUNIXTransport", "broker.net.transports.StreamTransport"),
    Replacement(
        f"{_INTERFACES}.IProcessTransport", "broker.reactor.engine.processes.ProcessTransport"
    ),
    Replacement(f"{_INTERFACES}.IListeningPort", "broker.reactor.engine.ports.Port"),
    Replacement(f"{_INTERFACES}.IConnector", "broker.reactor.engine.connectors.Connector"),
    Replacement(f"{_INTERFACES}.IDelayedCall", "broker.reactor.engine.timers.DelayedCall"),
]
"""What the reactor gives to programs: the interface that it has there, and the class here."""
