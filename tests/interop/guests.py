"""The objects that the clients of this folder send: copies, caches, objects to call back."""

# ruff: noqa: D102 - the names of published hooks and of remote methods say what they do

from __future__ import annotations

from faults import CLASSES
from world import call_soon, defer, pb, register

__all__ = ["Draft", "Listener", "Score", "Stowaway"]


class ClientFault(Exception):
    """An exception that the server does not know."""


class NoteCopy(pb.RemoteCopy):
    """The client's copy of a Note."""

    subject: str
    body: list[str]
    reader: str


class BoardCache(pb.RemoteCache):
    """The client's cache of a Board."""

    lines: list[str]
    reader: str

    def observe_written(self, line, number):
        self.lines.append(line)
        return number


register(NoteCopy, "house.Note")
register(BoardCache, "house.Board")


class Draft(pb.Copyable):
    """Copied to the server with all attributes."""

    def __init__(self, title, pages, author):
        self.title = title
        self.pages = pages
        self.author = author


class Stowaway(pb.Copyable):
    """Copied to a server that has not registered it."""


class Score(pb.Cacheable):
    """Points of which the server gets each change."""

    def __init__(self):
        self.points = 0
        self.observer = None
        self.stopped = defer.Deferred()

    def getStateToCacheAndObserveFor(self, perspective, observer):
        self.observer = observer
        return {"points": self.points}

    def score(self):
        self.points += 1
        return self.observer.callRemote("scored", self.points)

    def stoppedObserving(self, perspective, observer):
        self.stopped.callback(observer == self.observer)


class Listener(pb.Referenceable):
    """The object that the server calls back."""

    def __init__(self):
        self.events = []
        self.heard_after = defer.Deferred()

    def remote_welcome(self, name):
        return f"{name} is welcome"

    def remote_heard(self, what, **kw):
        self.events.append([what, kw])
        if what == "after":
            self.heard_after.callback(None)
        answer = defer.Deferred()
        call_soon(answer.callback, f"heard: {what}")
        return answer

    def remote_visit(self, room):
        return room.callRemote("who", "shown")

    def remote_fail(self, kind):
        raise {**CLASSES, "unknown": ClientFault}[kind](f"because {kind}")

    def remote_never(self):
        return defer.Deferred()
