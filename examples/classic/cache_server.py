"""Caches: the server, which sends the news once, and later only what is added."""

from cache_classes import News

from broker import defer, pb, reactor


class Agency(pb.Root):
    news = News()

    def rootObject(self, broker):
        broker.notifyOnDisconnect(reactor.stop)
        return self

    def remote_news(self):
        return self.news

    def remote_add(self, line):
        return defer.gatherResults([o.callRemote("added", line) for o in self.news.observers])


port = reactor.listenTCP(0, pb.PBServerFactory(Agency()), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
