"""Exceptions: the server, whose methods raise on purpose, by mistake, and later."""

from exceptions_classes import SoldOut

from broker import defer, pb, reactor


class Shop(pb.Root):
    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    def remote_buy(self, thing):
        raise SoldOut(f"no {thing} left")

    def remote_weigh(self, thing):
        return {"bread": 500}[thing]

    def remote_order(self, thing):
        return defer.fail(ValueError(f"{thing} cannot be ordered"))


port = reactor.listenTCP(0, pb.PBServerFactory(Shop()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
