"""The server of a lobby; run as ``lobby_server.py WORLD``; prints its port as ``{"lobby": port}``.

Its avatars are not Avatars, but users that are adapted to IPerspective.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import gc
import json
import weakref

import lobby_things as things
from describe import text
from world import checkers, components, defer, pb, portal, reactor
from zope.interface import Interface, implementer

HOST = "127.0.0.1"


class IUser(Interface):
    """A user in the lobby."""


@implementer(IUser)
class User:
    """A logged-in user; keeps no reference to the objects that it sends."""

    def __init__(self, name, mind):
        self.name = name
        self.mind = mind
        self.kept = []
        self.watched = {}
        self.waiting = {}

    def watch(self, name, thing):
        # The connection keeps the first of several equal ones.
        if name not in self.watched or self.watched[name]() is None:
            self.watched[name] = weakref.ref(thing, lambda reference: self.lost(name))
        return thing

    def lost(self, name):
        for waiter in self.waiting.pop(name, []):
            reactor.callLater(0, waiter.callback, "gone")

    def gone(self, name):
        if not self.is_alive(name):
            return "gone"
        waiter = defer.Deferred()
        self.waiting.setdefault(name, []).append(waiter)
        return waiter

    def is_alive(self, name):
        gc.collect()
        return self.watched[name]() is not None

    def join(self, name):
        return self.watch(name, things.Table(self, name))

    def things(self):
        return [
            self.watch("seat", things.Seat(7)),
            self.watch("bell", things.Bell()),
            self.watch("dice", things.Dice()),
        ]

    def tell(self, table, line):
        again = things.Table(self, table.name)
        heard = self.mind.hear(again, line)
        # It comes back as the object that the connection holds under that id.
        return heard.addCallback(lambda back: [type(back).__name__, back.name, self.mind.name])


components.registerAdapter(things.Guest, IUser, pb.IPerspective)


@implementer(portal.IRealm)
class Realm:
    """Writes the name on the mind, as on any reference."""

    def requestAvatar(self, avatarId, mind, *interfaces):
        user = User(text(avatarId), mind)
        mind.name = user.name
        for interface in interfaces:
            facet = interface(user, None)
            if facet is not None:
                return interface, facet, lambda: None
        raise NotImplementedError(interfaces)


def main():
    """Listen, print the port, serve until killed."""
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse(ann=b"sesame")
    factory = pb.PBServerFactory(portal.Portal(Realm(), [users]))
    port = reactor.listenTCP(0, factory, interface=HOST).getHost().port
    print(json.dumps({"lobby": port}), flush=True)
    reactor.run()


main()
