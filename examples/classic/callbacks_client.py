"""Callbacks: the client, whose own object the server calls. Pass it the server's port."""

import sys

from broker import pb, reactor


class Guest(pb.Referenceable):
    def remote_wait(self, minutes, dish):
        print(f"{dish} in {minutes}")
        return "take your time" if minutes > 1 else "at last"


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
ordering = factory.getRootObject()
ordering.addCallback(lambda root: root.callRemote("order", Guest(), "soup"))
ordering.addCallback(lambda dish: print("here is the", dish))
ordering.addBoth(lambda _: reactor.stop())
reactor.run()
