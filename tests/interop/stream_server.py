"""A server with Twisted alone that gives a stream and pulls those of its client.

It prints its port.
"""

# ruff: noqa: D102 - the test describes the methods

from __future__ import annotations

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


class Broken(Numbers):
    """A stream that fails."""

    def remote_pull(self, most):
        if not self.left:
            raise pb.Error("no more paper")
        return super().remote_pull(most)


class House(pb.Root):
    """Has streams, and takes them."""

    def __init__(self):
        self.streams = []

    def remote_rows(self, last):
        self.streams.append(Numbers(last))
        return self.streams[-1]

    def remote_broken(self):
        return Broken(3)

    def remote_closed(self):
        return [stream.is_closed for stream in self.streams]

    @defer.inlineCallbacks
    def remote_total(self, stream, most):
        total = 0
        while True:
            some = yield stream.callRemote("pull", most)
            if not some:
                return total
            total += sum(some)

    @defer.inlineCallbacks
    def remote_first(self, stream):
        some = yield stream.callRemote("pull", 1)
        yield stream.callRemote("close")
        return some


port = reactor.listenTCP(0, pb.PBServerFactory(House()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
