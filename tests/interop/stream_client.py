"""A client with Twisted alone that pulls the streams of a server, and offers one; it prints.

Run as ``stream_client.py PORT``.
"""

# ruff: noqa: D102 - the test describes the methods

from __future__ import annotations

import json
import sys

from twisted.internet import defer, reactor
from twisted.spread import pb


class Numbers(pb.Referenceable):
    """A stream, as a Twisted program writes one."""

    def __init__(self, last):
        self.left = list(range(last))
        self.is_closed = False

    def remote_pull(self, most):
        taken, self.left = self.left[:most], self.left[most:]
        return taken

    def remote_close(self):
        self.is_closed = True


@defer.inlineCallbacks
def pulled(stream, most):
    """All items of a stream."""
    items = []
    while True:
        some = yield stream.callRemote("pull", most)
        if not some:
            return items
        items += some


@defer.inlineCallbacks
def talk(root):
    """Pull, close, drop, fail and offer; print what came."""
    rows = yield root.callRemote("rows", 1000)
    items = yield pulled(rows, 300)
    print(json.dumps(items == list(range(1000))))
    rows = yield root.callRemote("rows", 5)
    first = yield rows.callRemote("pull", 2)
    yield rows.callRemote("close")
    print(json.dumps(first))
    rows = yield root.callRemote("rows", 10**9)
    yield rows.callRemote("pull", 2)
    del rows
    broken = yield root.callRemote("broken")
    some = yield broken.callRemote("pull", 10)
    try:
        yield broken.callRemote("pull", 10)
    except Exception as error:
        kind = error.remoteType
        some.append(kind.decode() if isinstance(kind, bytes) else kind)
    print(json.dumps(some))
    numbers = Numbers(1000)
    total = yield root.callRemote("total", numbers)
    print(json.dumps([total, numbers.is_closed]))
    numbers = Numbers(10**6)
    total = yield root.callRemote("first", numbers)
    print(json.dumps([total, numbers.is_closed]))
    ended = yield root.callRemote("ended")
    print(json.dumps(ended))


def end(result):
    """Print an error that was not expected, and stop."""
    if result is not None:
        print(json.dumps(str(result)))
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
factory.getRootObject().addCallback(talk).addBoth(end)
reactor.run()
