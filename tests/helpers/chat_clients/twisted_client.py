"""Twisted's PB: the password on a plain connection of this machine, and the room as a cache."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import react
from twisted.spread import pb

DONE: Deferred[None] = Deferred()


class Room(pb.RemoteCache):  # type: ignore[misc]
    """The room, kept up to date by the server."""

    def observe_joined(self, who: str) -> None:
        """Add somebody who has come."""
        self.names.append(who)

    def observe_left(self, who: str, why: str) -> None:
        """Remove somebody who has gone."""
        self.names.remove(who)

    def observe_topic(self, who: str, text: str) -> None:
        """Take the topic."""
        self.topic = text
        print("topic", text, flush=True)


pb.setUnjellyableForClass("chat.Room", Room)


class Mind(pb.Referenceable):  # type: ignore[misc]
    """Hears the events."""

    def __init__(self, name: str):
        self.name = name
        self.avatar: Any = None
        self.room: Any = None

    def remote_heard(self, event: str, room: str, who: str, text: str) -> None:
        """Do what it is told."""
        if event != "said":
            return
        print("heard", who, text, flush=True)
        if text == f"go {self.name}":
            self.avatar.callRemote("say", "#lobby", f"hello from {self.name}")
        elif text == "the end":
            print("names", *sorted(self.room.names), flush=True)
            DONE.callback(None)


@inlineCallbacks
def main(_: object, port: str, name: str, password: str) -> Any:
    """Visit the chat."""
    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", int(port), factory)
    root = yield factory.getRootObject()
    mind = Mind(name)
    mind.avatar = yield root.callRemote("loginPassword", name, password, mind)
    mind.room = yield mind.avatar.callRemote("join", "#lobby")
    print("in", flush=True)
    yield DONE
    factory.disconnect()


if __name__ == "__main__":
    react(main, sys.argv[1:])
