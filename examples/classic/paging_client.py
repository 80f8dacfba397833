"""Paging: the client, which shows the progress. Pass it the server's port."""

import sys

from paging_bar import Bar

from broker import defer, pb, reactor


@defer.inlineCallbacks
def fetch():
    root = yield factory.getRootObject()
    bar = Bar((yield root.callRemote("size")))
    root.callRemote("fetch", bar)
    book = yield bar.complete
    print(len(book), book[-11:])
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
fetch()
reactor.run()
