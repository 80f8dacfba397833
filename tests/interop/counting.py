"""A Broker that counts its peer's releases: on the wire, and by the published hook."""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

from world import pb

__all__ = ["CountingBroker"]

# A list of two (0x80), whose first element is word 29 of the dialect pb (0x87): [decref, id].
DECREF = bytes([2, 0x80, 29, 0x87])


class CountingBroker(pb.Broker):
    """Counts the received ``decref`` messages."""

    def __init__(self, *args, **kw):
        pb.Broker.__init__(self, *args, **kw)
        self.received = b""
        self.handled = 0

    def dataReceived(self, data):
        self.received += data
        pb.Broker.dataReceived(self, data)

    def proto_decref(self, objectID):
        self.handled += 1
        pb.Broker.proto_decref(self, objectID)

    @property
    def decrefs(self):
        """How many have been received, and how many of them have been handled."""
        return self.received.count(DECREF), self.handled
