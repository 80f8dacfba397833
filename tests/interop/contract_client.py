"""A client with Twisted alone, of an office with a contract; it prints what it gets.

Run as ``contract_client.py PORT``.
"""

# ruff: noqa: D102 - the test describes the methods

from __future__ import annotations

import json
import sys

from twisted.internet import defer, reactor
from twisted.spread import pb


class Ear(pb.Referenceable):
    """Hears what is said."""

    def __init__(self):
        self.heard = []

    def remote_heard(self, text):
        self.heard.append(text)


@defer.inlineCallbacks
def talk(root):
    """Call each method, and print the results."""
    ear = Ear()
    seats = yield root.callRemote("reserve", 1, row="X", colour="blue")
    print(json.dumps(seats))
    room = yield root.callRemote("room", "stalls", ear)
    said = yield room.callRemote("say", "hi")
    print(json.dumps([said, ear.heard]))
    same = yield root.callRemote("same", ear, ear)
    print(json.dumps(same))
    for name, args in (("reserve", ("3",)), ("wrong", ()), ("missing", ()), ("pb:describe", ())):
        try:
            found = yield root.callRemote(name, *args)
            print(json.dumps(sorted(found)))
        except Exception as error:
            kind = getattr(error, "remoteType", type(error).__name__)
            kind = kind.decode() if isinstance(kind, bytes) else kind
            print(json.dumps([kind, str(error)[:60]]))


def end(result):
    """Print an error that was not expected, and stop."""
    if result is not None:
        print(json.dumps(str(result)))
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
factory.getRootObject().addCallback(talk).addBoth(end)
reactor.run()
