"""Which module of Twisted has become which module here: the table that the walk goes through."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OBJECTS", "REACTOR", "ROOMS", "Room"]


class Room(NamedTuple):
    """A module of Twisted, and the one that a program imports in its place."""

    theirs: str
    ours: str


ROOMS = [
    Room("twisted.spread.pb", "broker.pb"),
    Room("twisted.spread.flavors", "broker.pb"),
    Room("twisted.spread.util", "broker.pb"),
    Room("twisted.spread.publish", "broker.pb"),
    Room("twisted.spread.jelly", "jelly"),
    Room("twisted.spread.banana", "jelly.banana"),
    Room("twisted.spread.interfaces", "jelly.interfaces"),
    Room("twisted.cred.checkers", "cred.checkers"),
    Room("twisted.cred.credentials", "cred.credentials"),
    Room("twisted.cred.error", "cred.error"),
    Room("twisted.cred.portal", "cred.portal"),
    Room("twisted.cred.strcred", "cred.strcred"),
    Room("twisted.internet.defer", "broker.defer"),
    Room("twisted.python.failure", "broker.failure"),
    Room("twisted.internet.protocol", "broker.reactor.protocol"),
    Room("twisted.internet.task", "broker.reactor.task"),
    Room("twisted.internet.threads", "broker.reactor.threads"),
    Room("twisted.internet.error", "broker.reactor.error"),
    Room("twisted.internet.ssl", "broker.reactor.ssl"),
    Room("twisted.internet.endpoints", "broker.reactor.endpoints"),
    Room("twisted.internet.stdio", "broker.reactor.stdio"),
    Room("twisted.application.service", "broker.reactor.service"),
    Room("twisted.application.internet", "broker.reactor.service"),
    Room("twisted.protocols.basic", "broker.reactor.basic"),
    Room("twisted.python.components", "broker.reactor.components"),
    Room("twisted.python.log", "broker.reactor.log"),
]

REACTOR = Room("twisted.internet.reactor", "broker.reactor")
"""An object there and a module here: its names are those of the interfaces that it provides."""

_INTERFACES = "twisted.internet.interfaces"
OBJECTS = [
    Room(f"{_INTERFACES}.ITCPTransport", "broker.net.transports.StreamTransport"),
    Room(f"{_INTERFACES}.ISSLTransport", "broker.net.secure_transports.SecureTransport"),
    Room(f"{_INTERFACES}.IUNIXTransport", "broker.net.transports.StreamTransport"),
    Room(f"{_INTERFACES}.IProcessTransport", "broker.reactor.processes.ProcessTransport"),
    Room(f"{_INTERFACES}.IListeningPort", "broker.reactor.ports.Port"),
    Room(f"{_INTERFACES}.IConnector", "broker.reactor.connectors.Connector"),
    Room(f"{_INTERFACES}.IDelayedCall", "broker.reactor.timers.DelayedCall"),
]
"""What the reactor gives to programs: the interface that it has there, and the class here."""
