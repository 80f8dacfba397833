"""Caches: a list that notifies its readers of each new entry, and a reader's cache of it."""

from broker import pb


class News(pb.Cacheable):
    lines, observers = ("it is morning",), ()

    def getStateToCacheAndObserveFor(self, perspective, observer):
        self.observers += (observer,)
        return {"lines": list(self.lines)}

    def stoppedObserving(self, perspective, observer):
        print("a reader has left")


class HeldNews(pb.RemoteCache):
    def observe_added(self, line):
        self.lines.append(line)


pb.setUnjellyableForClass(News, HeldNews)
