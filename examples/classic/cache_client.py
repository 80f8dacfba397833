"""Caches: the client, which holds the news and then drops them. Pass it the server's port."""

import sys

import cache_classes  # registers the received class  # noqa: F401

from broker import defer, pb, reactor


@defer.inlineCallbacks
def read():
    root = yield factory.getRootObject()
    news = yield root.callRemote("news")
    for line in ("it is noon", "it is evening"):
        print(news.lines)
        yield root.callRemote("add", line)
    again = yield root.callRemote("news")
    print(again.lines, again.lines is news.lines)
    reactor.stop()


factory = pb.PBClientFactory()
reactor.connectTCP("127.0.0.1", int(sys.argv[1]), factory)
read()
reactor.run()
