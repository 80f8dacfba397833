"""A server whose root is the program's own portal, as programs copy it to change logins.

Run as ``recipe_server.py WORLD [PATH]``. It listens at a UNIX socket, or else on a free TCP port of
127.0.0.1. It prints ``{"recipe": port}``, where the port is the path or the number.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import json
import sys

from describe import text
from world import checkers, credentials, defer, pb, portal, reactor
from zope.interface import implementer

HOST = "127.0.0.1"


class Office:
    """The state that all connections share."""

    def __init__(self):
        self.logouts = []
        self.waiting = []

    def left(self, name):
        self.logouts.append(name)
        waiting, self.waiting = self.waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def logged_out(self, count):
        """Return the users who were logged out, when there are this many."""
        if len(self.logouts) >= count:
            return list(self.logouts)
        waiter = defer.Deferred()
        self.waiting.append(waiter)
        return waiter.addCallback(lambda _: self.logged_out(count))


class Clerk(pb.Avatar):
    """A logged-in user."""

    def __init__(self, name, office):
        self.name = name
        self.office = office

    def perspective_whoami(self):
        return self.name

    def perspective_never(self):
        return defer.Deferred()

    def perspective_logged_out(self, count):
        return self.office.logged_out(count)


@implementer(portal.IRealm)
class Realm:
    """Makes clerks."""

    def __init__(self, office):
        self.office = office

    def requestAvatar(self, avatarId, mind, *interfaces):
        name = text(avatarId)
        return pb.IPerspective, Clerk(name, self.office), lambda: self.office.left(name)


@implementer(pb.IPBRoot)
class Gate:
    """Gives each connection its own root object."""

    def __init__(self, portal):
        self.portal = portal

    def rootObject(self, broker):
        return Door(self.portal, broker)


class Door(pb.Referenceable):
    """Sends a challenge, and returns the contents of the tables of its connection."""

    def __init__(self, portal, broker):
        self.portal = portal
        self.broker = broker
        self.kept = []

    def remote_login(self, username):
        question = pb.challenge()
        return question, Answer(self, username, question)

    def remote_sessionno(self):
        return self.broker.transport.sessionno

    def remote_give(self):
        thing = pb.Referenceable()
        self.kept.append(thing)
        return thing

    def remote_tables(self):
        """Describe the given object: how often, under which id, and other objects in the table."""
        luids, objects = self.broker.luids, self.broker.localObjects
        given = [objects[luids[thing.processUniqueID()]] for thing in self.kept]
        return [
            [local.object is thing for local, thing in zip(given, self.kept, strict=True)],
            [local.refcount for local in given],
            sorted(str(luid) for luid in objects),
            [len(luids), 99 in objects, objects.get(99), objects[b"root"].object is self],
            [type(local).__name__ for local in given],
            [len(self.broker.disconnects), list(self.broker.failures)],
        ]


@implementer(credentials.IUsernameHashedPassword, pb.IUsernameMD5Password)
class Answer(pb.Referenceable):
    """Takes the answer to a challenge."""

    def __init__(self, door, username, question):
        self.door = door
        self.username = username
        self.question = question
        self.response = None

    def remote_respond(self, response, mind):
        self.response = response
        logging_in = self.door.portal.login(self, mind, pb.IPerspective)
        return logging_in.addCallback(self.let_in)

    def checkPassword(self, password):
        return self.response == pb.respond(self.question, password)

    def let_in(self, result):
        _, avatar, logout = result
        sent = pb.AsReferenceable(avatar, "perspective")
        logouts = [logout]

        def once():
            if logouts:
                logouts.pop()()

        broker = self.door.broker
        puid = sent.processUniqueID()
        broker._localCleanup[puid] = once
        assert broker._localCleanup.get(puid) is once
        broker.notifyOnDisconnect(once)
        return sent


def main():
    """Listen, print the port, serve until killed."""
    users = checkers.InMemoryUsernamePasswordDatabaseDontUse(ann=b"sesame", bob=b"secret")
    factory = pb.PBServerFactory(Gate(portal.Portal(Realm(Office()), [users])))
    if len(sys.argv) > 2:
        # The lock says that the socket of a server that was killed may be replaced.
        reactor.listenUNIX(sys.argv[2], factory, wantPID=True)
        port = sys.argv[2]
    else:
        port = reactor.listenTCP(0, factory, interface=HOST).getHost().port
    print(json.dumps({"recipe": port}), flush=True)
    reactor.run()


main()
