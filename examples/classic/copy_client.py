"""Copies: the client, which sends a letter and receives one. Pass it the server's port."""

import sys

from copy_classes import Letter

from broker import defer, pb, reactor


@defer.inlineCallbacks
def write():
    root = yield factory.getRootObject()
    answer = yield root.callRemote("send", Letter("alice", ["it rains", "it still rains"]))
    print(type(answer).__name__, sorted(answer.__dict__.items()))
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
write()
reactor.run()
