"""The objects of this folder's servers: an avatar with methods for each scenario, and a root."""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

import gc
import weakref
from typing import Any

import parcels
from describe import describe, text
from faults import CLASSES, Refused, dead, told, trapped
from world import call_soon, cred_error, defer, pb, register, util

__all__ = ["Door", "House", "Member"]


class ServerFault(Exception):
    """An exception that the client does not know."""


class Fired:
    """An event that happens once: waiters before and after it are all notified."""

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
    """Copied to the client, with a state for each reader."""

    def __init__(self, subject, body):
        self.subject = subject
        self.body = body
        self.secret = "not for readers"

    def getStateToCopyFor(self, perspective):
        return {"subject": self.subject, "body": self.body, "reader": perspective.name}


class DraftCopy(pb.RemoteCopy):
    """The server's copy of a Draft."""

    title: str
    pages: list[int]
    author: Any

    def setCopyableState(self, state):
        self.arrived = sorted(state)
        for name, value in state.items():
            setattr(self, name, value)


class Board(pb.Cacheable):
    """Lines of which the clients get each change."""

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
    """The server's cache of a Score."""

    points: int

    def __init__(self):
        self.seen = []

    def setCopyableState(self, state):
        self.seen = [state["points"]]

    def observe_scored(self, points):
        self.seen.append(points)
        return len(self.seen)


register(DraftCopy, "guests.Draft")
register(ScoreCache, "guests.Score")


class Room(pb.Viewable):
    """One object for all, whose methods receive the caller."""

    def view_who(self, perspective, *args, **kw):
        return [perspective.name, describe(args), describe(kw)]

    def view_number(self, perspective):
        return perspective.number

    def view_ask(self, perspective, listener):
        return listener.callRemote("heard", f"{perspective.name} asked")


class Token(pb.Referenceable):
    """Returned many times, and released when its last holder has dropped it."""

    def remote_touch(self):
        return "touched"


class Desk(pb.Referenceable):
    """Sends a long text in pages."""

    def remote_pages(self, collector, data, size):
        util.StringPager(collector, data, size)


class Visit:
    """Records of one session, which are kept after its connection has ended."""

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
    """The state that all avatars share."""

    def __init__(self):
        self.room = Room()
        self.visits = []

    def admit(self, avatar_id, mind):
        """Return the avatar of a user; one user, and a mind that is a text, are refused."""
        if text(avatar_id) == "denied":
            raise cred_error.LoginDenied("because denied")
        if isinstance(mind, str):
            raise ServerFault("because broken")
        return Member(avatar_id, mind, self)


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

    def logout(self):
        self.visit.logout()

    # The caller, and plain calls.

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
        call_soon(answer.callback, value)
        return answer

    # Callbacks.

    def perspective_listen(self, listener):
        def heard(reply):
            call_soon(listener.callRemote, "heard", "after", by=self.name)
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
        call_soon(self.mind.broker.transport.loseConnection)

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
        """Return how often that session was logged out, and its other records, after the logout."""
        visit = self.house.visits[number]
        return visit.left.wait().addCallback(lambda ignored: later(lambda: visit.logouts))

    def perspective_gone(self, number):
        """Return how often that session was logged out, after its connection has ended."""
        visit = self.house.visits[number]
        return visit.gone.wait().addCallback(lambda ignored: later(lambda: visit.logouts))

    def perspective_cut(self, number):
        """Return the outcome of the call to that session's client, after its connection's end."""
        visit = self.house.visits[number]
        return visit.pending.wait().addCallback(
            lambda kind: later(lambda: [kind, visit.dead, visit.notified])
        )

    # Errors.

    def perspective_fail(self, kind):
        raise fault(kind)

    def perspective_fail_later(self, kind):
        answer = defer.Deferred()
        call_soon(answer.errback, fault(kind))
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
    """Return the function's result after all other events of this turn."""
    answer = defer.Deferred()
    call_soon(lambda: answer.callback(function()))
    return answer


class Door(pb.Root):
    """A root without login."""

    def remote_echo(self, value):
        return describe(value), value

    def remote_listen(self, listener):
        return listener.callRemote("heard", "at the door")

    def remote_refuse(self):
        raise Refused("closed")
