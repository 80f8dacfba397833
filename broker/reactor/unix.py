"""Published names of `twisted.internet.unix`: the port and the connector of UNIX sockets."""

from __future__ import annotations

from broker.reactor.engine.unix import Connector, Port, UNIXConnector, UNIXPort

__all__ = ["Connector", "Port", "UNIXConnector", "UNIXPort"]
