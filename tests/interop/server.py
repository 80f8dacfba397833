"""The server of the interoperability tests, in PB's published vocabulary.

Run as ``server.py WORLD [--tls CERTIFICATE KEY]``. It listens on free ports of 127.0.0.1 and prints
them as one JSON line: ``portal`` takes alice's password and guests, ``members`` only passwords,
``root`` serves an object without login, and ``counted`` is ``portal`` with a Broker that counts the
``decref`` messages that come in.
"""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import argparse
import gc
import json
import weakref

import parcels
from counting import CountingBroker
from describe import describe, text
from faults import CLASSES, Refused, dead, told, trapped
from world import checkers, cred_error, defer, pb, portal, reactor, util
from zope.interface import implementer

HOST = "127.0.0.1"
USERS = {"alice": b"sesame", "denied": b"sesame"}


class ServerFault(Exception):
    """An exception that no client knows."""


class Fired:
    """Something that happens, once: those who ask before and after are all told."""

    def __init__(self):
        self._value = None
        self._has_happened = False
        self._waiting = []

    def fire(self, value=None):
        self._has_happened = True
        self._value = value
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(value)

    def wait(self):
        if self._has_happened:
            return defer.succeed(self._value)
        waiter = defer.Deferred()
        self._waiting.append(waiter)
        return waiter


class Note(pb.Copyable):
    """Copied to the client, each time for its reader."""

    def __init__(self, subject, body):
        self.subject = subject
        self.body = body
        self.secret = "not for readers"

    def getStateToCopyFor(self, perspective):
        return {"subject": self.subject, "body": self.body, "reader": perspective.name}


class DraftCopy(pb.RemoteCopy):
    """The client's draft, here."""

    def setCopyableState(self, state):
        self.arrived = sorted(state)
        for name, value in state.items():
            setattr(self, name, value)


class Board(pb.Cacheable):
    """Lines that the clients see change."""

    def __init__(self):
        self.lines = ["first"]
        self.observers = []
        self.stopped = Fired()

    def getStateToCacheAndObserveFor(self, perspective, observer):
        self.observers.append(observer)
        return {"lines": list(self.lines), "reader": perspective.name}

    def write(self, line):
        self.lines.append(line)
        return defer.gatherResults(
            [
                observer.callRemote("written", line, number=len(self.lines))
                for observer in self.observers
            ]
        )

    def stoppedObserving(self, perspective, observer):
        self.observers.remove(observer)
        self.stopped.fire([perspective.name, len(self.observers)])


class ScoreCache(pb.RemoteCache):
    """The client's score, here."""

    def __init__(self):
        self.seen = []

    def setCopyableState(self, state):
        self.seen = [state["points"]]

    def observe_scored(self, points):
        self.seen.append(points)
        return len(self.seen)


pb.setUnjellyableForClass("__main__.Draft", DraftCopy)
pb.setUnjellyableForClass("__main__.Score", ScoreCache)


class Room(pb.Viewable):
    """One object for all, that is told who calls."""

    def view_who(self, perspective, *args, **kw):
        return [perspective.name, describe(args), describe(kw)]

    def view_number(self, perspective):
        return perspective.number

    def view_ask(self, perspective, listener):
        return listener.callRemote("heard", f"{perspective.name} asked")


class Token(pb.Referenceable):
    """Given out many times, and gone when the last holder has dropped it."""

    def remote_touch(self):
        return "touched"


class Desk(pb.Referenceable):
    """Sends a long text in pages."""

    def remote_pages(self, collector, data, size):
        util.StringPager(collector, data, size)


class Visit:
    """What happened to one session, kept when its connection is gone."""

    def __init__(self):
        self.logouts = 0
        self.left = Fired()
        self.gone = Fired()
        self.pending = Fired()
        self.notified = 0
        self.dead = None

    def logout(self):
        self.logouts += 1
        self.left.fire()


class House:
    """What all avatars share."""

    def __init__(self):
        self.room = Room()
        self.visits = []


class Member(pb.Avatar):
    """The avatar of a client; ``mind`` is the client's reference."""

    def __init__(self, avatar_id, mind, house):
        self.avatar_id = avatar_id
        self.name = text(avatar_id) or "guest"
        self.mind = mind
        self.house = house
        self.visit = Visit()
        house.visits.append(self.visit)
        self.number = len(house.visits) - 1
        self.arrived = []
        self.kept = []
        self.board = Board()
        self.token = None
        self.token_gone = Fired()
        if mind is not None:
            visit = self.visit
            mind.notifyOnDisconnect(lambda reference: visit.gone.fire())

    # Who is calling, and plain calls.

    def perspective_whoami(self):
        return [describe(self.avatar_id), self.number]

    def perspective_greet(self):
        return self.mind.callRemote("welcome", self.name)

    def perspective_echo(self, value):
        return describe(value), value

    def perspective_keywords(self, *args, **kw):
        return describe(args), describe(dict(sorted(kw.items())))

    def perspective_append(self, value):
        self.arrived.append(value)

    def perspective_arrived(self):
        return self.arrived

    def perspective_later(self, value):
        answer = defer.Deferred()
        reactor.callLater(0, answer.callback, value)
        return answer

    # Callbacks.

    def perspective_listen(self, listener):
        def heard(reply):
            reactor.callLater(0, listener.callRemote, "heard", "after", by=self.name)
            return reply, listener

        return listener.callRemote("heard", "during", by=self.name).addCallback(heard)

    def perspective_keep(self, listener):
        self.kept.append(listener)
        return len(self.kept), all(kept == listener for kept in self.kept)

    def perspective_give_back(self):
        return list(self.kept)

    def perspective_forget(self):
        self.kept.clear()
        gc.collect()

    # Copies.

    def perspective_note(self):
        note = Note("lunch", ["at", "noon"])
        return [note, note]

    def perspective_take(self, draft):
        described = [
            type(draft).__name__,
            draft.arrived,
            draft.title,
            describe(draft.pages),
            describe(draft.author),
        ]
        return draft.author.callRemote("heard", "your draft").addCallback(
            lambda reply: [*described, reply]
        )

    def perspective_parcel(self, parcel):
        return parcels.told(parcel), parcel

    # Caches.

    def perspective_board(self):
        return self.board

    def perspective_write(self, line):
        return self.board.write(line)

    def perspective_is_board(self, board):
        return board is self.board

    def perspective_board_stopped(self):
        return self.board.stopped.wait()

    def perspective_hold(self, score):
        self.kept.append(score)
        return type(score).__name__

    def perspective_held(self):
        return self.kept[0].seen

    # Views.

    def perspective_room(self):
        return self.house.room

    def perspective_room_of(self, name):
        other = Member(name.encode("ascii"), None, self.house)
        return pb.ViewPoint(other, self.house.room)

    def perspective_show_room(self, listener):
        return listener.callRemote("visit", self.house.room)

    def perspective_take_room(self, room):
        return [type(room).__name__, room.object is self.house.room, room.perspective is self]

    # References.

    def perspective_token(self):
        # Only the client keeps it.
        token = self.token and self.token()
        if token is None:
            token = Token()
            self.token = weakref.ref(token, lambda reference: self.token_gone.fire("gone"))
        return token

    def perspective_token_gone(self):
        return self.token_gone.wait()

    def perspective_decrefs(self):
        return self.mind.broker.decrefs

    # The end of a session.

    def perspective_never(self):
        return defer.Deferred()

    def perspective_hang_up(self):
        reactor.callLater(0, self.mind.broker.transport.loseConnection)

    def perspective_call_me(self, listener):
        visit = self.visit

        def count(reference):
            visit.notified += 1

        def failed(failure):
            visit.dead = dead(listener)
            visit.pending.fire(trapped(failure))

        listener.notifyOnDisconnect(count)
        listener.callRemote("never").addErrback(failed)

    def perspective_left(self, number):
        """Tell how often that session was logged out, once it was, and all that goes with it."""
        visit = self.house.visits[number]
        return visit.left.wait().addCallback(lambda ignored: later(lambda: visit.logouts))

    def perspective_gone(self, number):
        """Tell how often that session was logged out, once its connection is gone."""
        visit = self.house.visits[number]
        return visit.gone.wait().addCallback(lambda ignored: later(lambda: visit.logouts))

    def perspective_cut(self, number):
        """Tell what became of the call to that session's client, once its connection is gone."""
        visit = self.house.visits[number]
        return visit.pending.wait().addCallback(
            lambda kind: later(lambda: [kind, visit.dead, visit.notified])
        )

    # Errors.

    def perspective_fail(self, kind):
        raise fault(kind)

    def perspective_fail_later(self, kind):
        answer = defer.Deferred()
        reactor.callLater(0, answer.errback, fault(kind))
        return answer

    def perspective_provoke(self, listener, kind):
        return listener.callRemote("fail", kind).addErrback(told)

    def perspective_call(self, listener, method):
        return listener.callRemote(method).addErrback(trapped)

    def perspective_relay(self, listener, kind):
        return listener.callRemote("fail", kind)

    def perspective_desk(self):
        return Desk()


def fault(kind):
    """Return the exception of that kind, with a text that names it."""
    return {**CLASSES, "unknown": ServerFault}[kind](f"because {kind}")


def later(function):
    """Return what the function tells when all that happens in this turn has happened."""
    answer = defer.Deferred()
    reactor.callLater(0, lambda: answer.callback(function()))
    return answer


class Door(pb.Root):
    """A root without login."""

    def remote_echo(self, value):
        return describe(value), value

    def remote_listen(self, listener):
        return listener.callRemote("heard", "at the door")

    def remote_refuse(self):
        raise Refused("closed")


@implementer(portal.IRealm)
class Realm:
    """Gives every user a Member, and turns one of them away."""

    def __init__(self):
        self.house = House()

    def requestAvatar(self, avatarId, mind, *interfaces):
        if avatarId == b"denied":
            raise cred_error.LoginDenied("because denied")
        member = Member(avatarId, mind, self.house)
        return pb.IPerspective, member, member.visit.logout


class Contexts:
    """A context factory that makes server contexts from PEM files."""

    def __init__(self, certificate, key):
        from OpenSSL import SSL

        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.use_certificate_chain_file(certificate)
        self.context.use_privatekey_file(key)
        self.context.check_privatekey()

    def getContext(self):
        return self.context


def factories():
    """Return the server factory of each port."""
    realm = Realm()
    passwords = checkers.InMemoryUsernamePasswordDatabaseDontUse(**USERS)
    everyone = portal.Portal(realm, [passwords, checkers.AllowAnonymousAccess()])
    counted = pb.PBServerFactory(everyone)
    counted.protocol = CountingBroker
    return {
        "portal": pb.PBServerFactory(everyone),
        "members": pb.PBServerFactory(portal.Portal(realm, [passwords])),
        "root": pb.PBServerFactory(Door()),
        "counted": counted,
    }


def main():
    """Listen on one port for each factory, tell them, serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("world", choices=["twisted", "ours"])
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args()
    ports = {}
    for name, factory in factories().items():
        if options.tls:
            port = reactor.listenSSL(0, factory, Contexts(*options.tls), interface=HOST)
        else:
            port = reactor.listenTCP(0, factory, interface=HOST)
        ports[name] = port.getHost().port
    print(json.dumps(ports), flush=True)
    reactor.run()


main()
