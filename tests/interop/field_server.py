"""The server of the tests of real PB programs' behaviour; run as ``field_server.py WORLD``.

It listens on free ports of 127.0.0.1 and prints them as one JSON line. ``portal`` accepts alice's
password and guests, ``root`` serves an object that is its own IPBRoot, ``open`` sends tracebacks,
and ``hooked`` has its own Broker class.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import io
import json

import field_things as things
from describe import describe, text
from world import checkers, pb, portal, reactor
from zope.interface import implementer

HOST = "127.0.0.1"


@implementer(pb.IPBRoot)
class Door:
    """The program's own IPBRoot: not a Root or a Portal; every connection gets a desk."""

    def rootObject(self, broker):
        return Desk(broker)


class Desk(pb.Referenceable):
    """The object that a peer without login calls."""

    def __init__(self, broker):
        self.broker = broker
        self.noted = []
        self.article = things.Article(7)

    def remote_proxy(self):
        return things.Proxy("a proxy")

    def remote_forwarder(self):
        return things.Forwarder()

    def remote_break(self):
        raise things.Broken("because broken")

    def remote_raise(self, kind):
        raise (things.Known if kind == "registered" else pb.Error)("because known")

    def remote_opened(self, box):
        return box.contents()

    def remote_box(self):
        return things.Box()

    def remote_shelf(self):
        return things.Shelf()

    def remote_break_client(self, listener):
        return listener.callRemote("break").addErrback(
            lambda failure: [text(failure.type), failure.traceback]
        )

    def remote_named(self, /, **kw):
        return sorted(kw.items())

    def remote_note(self, value):
        self.noted.append(value)

    def remote_noted(self):
        return self.noted

    def remote_echo(self, value):
        return value

    def remote_told(self, value):
        return describe(value)

    def remote_counts(self):
        return dict(self.broker.counts)

    def remote_call(self, listener, *args):
        return listener.callRemote(*args)

    def remote_coin(self, coin):
        return [type(coin).__name__, coin.told, things.Coin(coin.cents + 1)]

    def remote_oddity(self):
        return things.Oddity("odd")

    def remote_clothes(self):
        return [things.Cloth("red"), things.Shirt("blue")]

    def remote_article(self):
        return self.article

    def remote_asked(self):
        return self.article.asked

    def remote_pages(self, collector, kind, data):
        # Not waited for: the pager continues when the answer has been sent.
        things.send_pages(collector, kind, io.BytesIO(data)).addCallback(self.noted.append)

    def remote_collect(self, source, kind):
        collector = things.Collector()
        return source.callRemote("pages", collector, kind).addCallback(lambda _: collector.ended)

    def remote_of_size(self, size):
        return b"x" * size


class Member(pb.Avatar):
    """Takes calls as expressions; knows its mind's answer from before there was an avatar."""

    def __init__(self, said, mind):
        self.said = said
        self.mind = mind

    def perspectiveMessageReceived(self, broker, message, args, kw):
        if text(message) == "anything":
            values = broker.unserialize(args, self), broker.unserialize(kw, self)
            return broker.serialize(["anything", *map(describe, values)], self, message)
        return pb.Avatar.perspectiveMessageReceived(self, broker, message, args, kw)

    def perspective_said(self):
        return self.said

    def perspective_from(self):
        peer = self.mind.broker.transport.getPeer()
        return [peer.type, peer.host, peer.port]

    def perspective_oddity(self):
        return things.Oddity("odd")

    def __getattr__(self, name):
        if name.startswith("perspective_sing_"):
            return lambda: name
        raise AttributeError(name)


@implementer(portal.IRealm)
class Realm:
    """Asks the mind before it accepts the login."""

    def requestAvatar(self, avatarId, mind, *interfaces):
        name = text(avatarId) or "somebody"
        asking = mind.callRemote("who", name)
        return asking.addCallback(lambda said: (pb.IPerspective, Member(said, mind), lambda: None))


def main():
    """Listen on one port for each factory, print the ports, serve until killed."""
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"sesame")
    everyone = portal.Portal(Realm(), [users, checkers.AllowAnonymousAccess()])
    hooked = pb.PBServerFactory(Door())
    hooked.protocol = things.HookedBroker
    factories = {
        "portal": pb.PBServerFactory(everyone),
        "root": pb.PBServerFactory(Door()),
        "open": pb.PBServerFactory(Door(), unsafeTracebacks=True),
        "hooked": hooked,
    }
    ports = {
        name: reactor.listenTCP(0, factory, interface=HOST).getHost().port
        for name, factory in factories.items()
    }
    print(json.dumps(ports), flush=True)
    reactor.run()


main()
