"""Declares which classes provide the published interfaces.

Classes of lower layers cannot import the interfaces, so this module imports both.
"""

from __future__ import annotations

from zope.interface import classImplements

from broker.net.socket_addresses import IPv4Address, IPv6Address, PipeAddress, UNIXAddress
from broker.net.tls.transport import SecureTransport
from broker.net.transports import StreamTransport
from broker.reactor.engine.connectors import StreamConnector
from broker.reactor.engine.ports import StreamPort
from broker.reactor.engine.processes import ProcessTransport
from broker.reactor.engine.reactor import Reactor
from broker.reactor.engine.timers import DelayedCall
from broker.reactor.interfaces import (
    IAddress,
    IConnector,
    IConsumer,
    IDelayedCall,
    IListeningPort,
    IProcessTransport,
    IReactorCore,
    IReactorFDSet,
    IReactorProcess,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
    ISSLTransport,
    ITCPTransport,
)

__all__ = ["REACTOR"]

REACTOR = (
    IReactorCore,
    IReactorFDSet,
    IReactorProcess,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
"""The interfaces of a Reactor, and of the module `broker.reactor`."""

classImplements(Reactor, *REACTOR)
classImplements(DelayedCall, IDelayedCall)
classImplements(StreamConnector, IConnector)
classImplements(StreamPort, IListeningPort)
classImplements(ProcessTransport, IProcessTransport, IConsumer)
classImplements(StreamTransport, ITCPTransport, IConsumer)
classImplements(SecureTransport, ISSLTransport)
for _address in (IPv4Address, IPv6Address, PipeAddress, UNIXAddress):
    classImplements(_address, IAddress)
