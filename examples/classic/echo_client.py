"""Echo: the client, which calls the method of the root at the server. Pass it the port."""

import sys

from broker import pb, reactor


def echoed(text):
    print("the server answered:", text)
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
factory.getRootObject().addCallback(lambda root: root.callRemote("echo", "hello")).addCallback(
    echoed
)
reactor.run()
