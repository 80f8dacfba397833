"""What the walk goes through: the modules of the package's table, and what a reactor gives."""

from __future__ import annotations

from broker.porting.rooms import INTERFACES, REACTOR, ROOMS, Room

__all__ = ["OBJECTS", "REACTOR", "ROOMS", "Room"]

_INTERFACES = INTERFACES.theirs
OBJECTS = [
    Room(f"{_INTERFACES}.ITCPTransport", "broker.net.transports.StreamTransport"),
    Room(f"{_INTERFACES}.ISSLTransport", "broker.net.tls.transport.SecureTransport"),
    Room(f"{_INTERFACES}.IUNIXTransport", "broker.net.transports.StreamTransport"),
    Room(f"{_INTERFACES}.IProcessTransport", "broker.reactor.engine.processes.ProcessTransport"),
    Room(f"{_INTERFACES}.IListeningPort", "broker.reactor.engine.ports.Port"),
    Room(f"{_INTERFACES}.IConnector", "broker.reactor.engine.connectors.Connector"),
    Room(f"{_INTERFACES}.IDelayedCall", "broker.reactor.engine.timers.DelayedCall"),
]
"""What the reactor gives to programs: the interface that it has there, and the class here."""
