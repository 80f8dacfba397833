"""Callbacks: the server, which calls an object that the client sends."""

from broker import defer, pb, reactor


class Kitchen(pb.Root):
    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    @defer.inlineCallbacks
    def remote_order(self, guest, dish):
        for minutes in (3, 2, 1):
            print("the guest says:", (yield guest.callRemote("wait", minutes, dish=dish)))
        return f"hot {dish}"


port = reactor.listenTCP(0, pb.PBServerFactory(Kitchen()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
