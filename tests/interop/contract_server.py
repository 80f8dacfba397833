"""An office with Twisted alone, which knows no contract; it prints its port, then what came.

Run as ``contract_server.py``.
"""

# ruff: noqa: D102 - the test describes the methods

from __future__ import annotations

import json

from twisted.internet import reactor
from twisted.spread import pb


class Room(pb.Referenceable):
    """Tells its listener."""

    def __init__(self, listener):
        self.listener = listener

    def remote_say(self, text):
        return self.listener.callRemote("heard", text.upper()).addCallback(lambda _: len(text))


class Office(pb.Root):
    """The methods of the contract, without annotations."""

    def remote_reserve(self, *args, **kw):
        print(json.dumps([args, kw]), flush=True)
        return [{"row": kw.get("row", "T"), "number": 1, "new": "ignored"}]

    def remote_room(self, name, listener):
        return Room(listener)

    def remote_same(self, one, other):
        return one == other

    def remote_sold(self, seat):
        return 3 if seat["row"] == "wrong" else seat["row"]


port = reactor.listenTCP(0, pb.PBServerFactory(Office()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
