"""Exceptions: the client, which traps them by class and by name. Pass it the port."""

import sys

from exceptions_classes import SoldOut

from broker import defer, pb, reactor


def failed(failure):
    kind = failure.trap(SoldOut, KeyError, "builtins.ValueError")
    return getattr(kind, "__name__", kind) + ": " + failure.getErrorMessage()


def visit(shop):
    words = ("buy", "weigh", "order")
    return defer.gatherResults([shop.callRemote(w, "milk").addErrback(failed) for w in words])


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
visiting = factory.getRootObject().addCallback(visit)
visiting.addCallback(lambda texts: print(*texts, sep="\n")).addBoth(lambda _: reactor.stop())
reactor.run()
