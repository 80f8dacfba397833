"""Uses of PB's classes in real programs: hooks overridden, tags chosen, factories set."""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import sys
import threading
from collections import Counter

from describe import describe, text
from world import WORLD, defer, pb, util

if WORLD == "twisted":
    from twisted.spread import publish
else:
    from broker import pb as publish

__all__ = [
    "LOCK",
    "Article",
    "Box",
    "Broken",
    "Cloth",
    "Coin",
    "Collector",
    "Forwarder",
    "HookedBroker",
    "Known",
    "Oddity",
    "Proxy",
    "Shelf",
    "Shirt",
    "publish",
    "send_pages",
]


class Broken(Exception):
    """An exception that the peer does not know."""


class Known(pb.Error):
    """An exception that both ends know."""


if WORLD == "ours":
    from broker import register

    register(Known)


LOCK = threading.Lock()


class Box(pb.Copyable):
    """Has attributes that can be sent, and others that cannot."""

    def __init__(self):
        self.before, self.after, self.bad = "AB", "C", LOCK
        self.row, self.table = [LOCK, 2], {"k": LOCK}
        self.pair = (object(), self.row)

    def getTypeToCopy(self):
        return b"cellar.Box"


class BoxCopy(pb.RemoteCopy):
    """Its copy."""

    def contents(self):
        is_same = self.pair[1] is self.row and self.row[0] is self.bad is self.table["k"]
        return [self.before, self.after, int(is_same), describe(self.row), describe(self.table)]


class Shelf(pb.Cacheable):
    """The same, as a cache."""

    def getTypeToCopy(self):
        return b"cellar.Shelf"

    def getStateToCacheAndObserveFor(self, perspective, observer):
        return {"bad": LOCK, "good": 5}

    def stoppedObserving(self, perspective, observer):
        pass


class ShelfCache(pb.RemoteCache):
    """Its cache."""


pb.setUnjellyableForClass("cellar.Box", BoxCopy)
pb.setUnjellyableForClass("cellar.Shelf", ShelfCache)


class HookedBroker(pb.Broker):
    """Counts the calls of the published hooks, and knows one object that was never registered."""

    def __init__(self, *args, **kw):
        pb.Broker.__init__(self, *args, **kw)
        self.counts = Counter()

    def serialize(self, object, perspective=None, method=None, args=None, kw=None):
        self.counts["serialize"] += 1
        return pb.Broker.serialize(self, object, perspective, method, args, kw)

    def unserialize(self, sexp, perspective=None):
        self.counts["unserialize"] += 1
        return pb.Broker.unserialize(self, sexp, perspective)

    def sendCall(self, *exp):
        self.counts[f"sendCall {text(exp[0])}"] += 1
        pb.Broker.sendCall(self, *exp)

    def proto_message(self, requestID, objectID, message, answerRequired, netArgs, netKw):
        self.counts[f"proto_message {text(message)}"] += 1
        pb.Broker.proto_message(self, requestID, objectID, message, answerRequired, netArgs, netKw)

    def proto_answer(self, requestID, netResult):
        self.counts["proto_answer"] += 1
        pb.Broker.proto_answer(self, requestID, netResult)

    def expressionReceived(self, sexp):
        self.counts[f"expressionReceived {text(sexp[0])}"] += 1
        pb.Broker.expressionReceived(self, sexp)

    def localObjectForID(self, luid):
        self.counts[f"localObjectForID {text(luid)}"] += 1
        if luid == b"phantom":
            return Proxy("a phantom")
        return pb.Broker.localObjectForID(self, luid)

    def connectionReady(self):
        self.counts["connectionReady"] += 1
        pb.Broker.connectionReady(self)


class Proxy(pb.Referenceable):
    """Has every method that is asked for, and returns its name."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, attribute):
        prefix, _, method = attribute.partition("_")
        if prefix != "remote":
            raise AttributeError(attribute)
        return lambda *args, **kw: [self.name, method, describe(args), describe(kw)]


class Forwarder(pb.Referenceable):
    """Takes calls as expressions, and answers some of them itself."""

    def remoteMessageReceived(self, broker, message, args, kw):
        name = text(message)
        if name == "plain":
            return pb.Referenceable.remoteMessageReceived(self, broker, message, args, kw)
        values = broker.unserialize(args), broker.unserialize(kw)
        return broker.serialize([name, *map(describe, values)], self.perspective)

    def remote_plain(self, value):
        return ["plain", describe(value)]


class Coin(pb.Copyable, pb.RemoteCopy):
    """Writes and reads its own expression."""

    def __init__(self, cents=0):
        self.cents = cents

    def jellyFor(self, jellier):
        expression = jellier.prepare(self)
        expression.extend([b"field_things.Coin", jellier.jelly((self.cents // 100, self.cents))])
        return jellier.preserve(self, expression)

    def unjellyFor(self, unjellier, jellyList):
        euros, cents = unjellier.unjelly(jellyList[1])
        self.cents = cents
        self.told = f"{euros}.{cents % 100:02}"
        return self


pb.setUnjellyableForClass("field_things.Coin", Coin)


class Oddity(pb.Copyable):
    """Its tag depends on its receiver."""

    def __init__(self, kind):
        self.kind = kind

    def getTypeToCopyFor(self, perspective):
        return b"of somebody" if perspective is not None else b"of nobody"


class OddityOfNobody(pb.RemoteCopy):
    """The copy at a peer that has not logged in."""


def made(state):
    """Return the object for an oddity that was sent to a user."""
    oddity = MadeOddity()
    oddity.kind = state["kind"] + ", made"
    return oddity


class MadeOddity:
    """Made by a function; it does not need a base of PB."""


pb.setUnjellyableForClass("of nobody", OddityOfNobody)
pb.setFactoryForClass("of somebody", made)


class Cloth(pb.Copyable):
    """The first of a tree of classes."""

    def __init__(self, colour):
        self.colour = colour

    def getTypeToCopy(self):
        return b"wardrobe.Worn" + type(self).__name__.encode("ascii")


class Shirt(Cloth):
    """The second of it."""


class WornCloth(pb.RemoteCopy):
    """The copy for the tree."""


class WornShirt(WornCloth):
    """The second of the copies."""


pb.setCopierForClassTree(sys.modules[__name__], WornCloth, "wardrobe")


class Article(publish.Publishable):
    """Published, and fetched by readers that do not have it yet."""

    def __init__(self, number):
        publish.Publishable.__init__(self, number)
        self.asked = 0

    def getStateToPublish(self):
        self.asked += 1
        return {"title": "tea", "words": [1, 2, 3]}


class ReadArticle(publish.RemotePublished):
    """The reader's copy."""

    title = None


pb.setUnjellyableForClass(Article, ReadArticle)


class Collector(pb.Referenceable):
    """Takes pages, and fires at the end."""

    def __init__(self):
        self.pages = []
        self.ended = defer.Deferred()

    def remote_gotPage(self, page):
        self.pages.append(page)

    def remote_endedPaging(self):
        self.ended.callback([len(b"".join(self.pages)), len(self.pages) > 1])


def send_pages(collector, kind, file):
    """Send pages by a pager of that kind; return a Deferred of its callback's arguments."""
    sent = defer.Deferred()

    def callback(*args, **kw):
        sent.callback([list(args), kw])

    if kind == "string":
        util.StringPager(collector, file.read(), 20_000, callback, "all", of="it")
    else:
        util.FilePager(collector, file, callback, "all", of="it")
    return sent
