"""A Broker that counts what its peer lets go of."""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

from world import pb

__all__ = ["CountingBroker"]


class CountingBroker(pb.Broker):
    """Counts the ``decref`` messages that come in."""

    def __init__(self, *args, **kw):
        pb.Broker.__init__(self, *args, **kw)
        self.decrefs = 0

    def proto_decref(self, objectID):
        self.decrefs += 1
        pb.Broker.proto_decref(self, objectID)
