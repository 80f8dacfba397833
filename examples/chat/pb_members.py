"""The avatar of PB clients: what a client may call, and what it is told.

A client connects to the server as a user; its mind is an object whose ``remote_heard(event, room,
who, text)`` is called for each event of `examples.chat.model`. Without a mind it is told nothing
but the changes of the rooms it has joined.

=========================== ===========================================================
method of the avatar        effect
=========================== ===========================================================
``banner()``                returns the banner, a str
``rooms()``                 returns a list of (name, number of people, topic)
``people()``                returns the names of all who are here, a list
``join(room)``              goes into the room; returns a cache of it, see below
``part(room, why="")``      leaves the room
``say(where, text)``        says a text in a room, or to a person
``notice(where, text)``     the same, as a bot
``topic(room, text)``       sets the topic
``manhole()``               returns a `broker.Manhole`, to the group of admins
=========================== ===========================================================

They raise the errors of `examples.chat.errors`, whose names on the wire begin with ``chat.``.

A room is a cache with the name ``chat.Room`` and the state ``name``, ``topic``, ``names`` (a list)
and ``history`` (a list of (time, who, text), the last lines before the client came). It is kept up
to date until the client leaves the room, by ``observe_joined(who)``, ``observe_left(who, why)`` and
``observe_topic(who, text)``. What is said comes to the mind only. A client that joins again gets a
new cache.

``heard("gone", "", name, why)`` is the last event; the server then closes the connection. A client
that does not take its events is disconnected when 1,000 of them wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import broker
from examples.chat.errors import ChatError
from examples.chat.model import ADMINS, Listener, Room, Town
from examples.chat.pace import Pace

__all__ = ["Member", "RoomCache"]

MOST_WAITING = 1_000
"""How many events may wait for a client that does not read."""

Result = TypeVar("Result")

LONGEST_WAIT = 30.0
"""The most seconds that a call waits because of the rate of a guest."""


class RoomCache(broker.Cacheable):
    """A room as one client sees it, from when the client joins it until it leaves it."""

    def __init__(self, room: Room):
        self._room = room
        self._observers = broker.Subscribers()
        self._is_left = False

    def getTypeToCopyFor(self, perspective: object) -> str:
        """Return the name of the cache on the wire."""
        return "chat.Room"

    def getStateToCacheAndObserveFor(
        self, perspective: object, observer: broker.RemoteCacheObserver
    ) -> dict[str, Any]:
        """Return the state of now; the observer is forgotten when its client is gone."""
        if not self._is_left:
            self._observers.add(observer, most=MOST_WAITING, missed=None)
        room = self._room
        return {
            "name": room.name,
            "topic": room.topic,
            "names": room.names,
            "history": [tuple(line) for line in room.history],
        }

    def tell(self, event: str, who: str, text: str) -> None:
        """Bring the cache of the client up to date."""
        if event == "joined":
            self._observers.send("joined", who)
        elif event in ("left", "topic"):
            self._observers.send(event, who, text)

    def end(self) -> None:
        """Stop: the client has left the room."""
        self._is_left = True
        for observer in self._observers:
            self._observers.discard(observer)


class Member(broker.Avatar):
    """A user who comes by PB; see the top of this module.

    Args:
        town: the chat.
        avatar_id: the name of the user.
        mind: hears the events, or None.
    """

    def __init__(self, town: Town, avatar_id: object, mind: broker.RemoteReference | None):
        self._town = town
        self._ears = broker.Subscribers()
        if isinstance(mind, broker.RemoteReference):
            self._ears.add(mind, slow=broker.Slow.DISCONNECT, most=MOST_WAITING)
        self._caches: dict[str, RoomCache] = {}
        self._pace = Pace(town.rate)
        self._connection = broker.current_call().connection
        self._closing: asyncio.Task[None] | None = None
        self._guest = town.enter(avatar_id, Listener(self.hears, "pb"))

    def hears(self, event: str, room: str, who: str, text: str) -> None:
        """Pass an event on: never blocks, and silent if the client has gone."""
        cache = self._caches.get(room)
        if cache is not None:
            cache.tell(event, who, text)
            if event == "left" and who == self._guest.name:
                self._caches.pop(room).end()
        self._ears.send("heard", event, room, who, text)
        if event == "gone":
            self._closing = asyncio.create_task(self._connection.close())

    def logout(self) -> None:
        """Leave the chat."""
        self._guest.logout()

    def perspective_banner(self) -> str:
        """Return the banner."""
        return self._town.banner

    def perspective_rooms(self) -> list[tuple[str, int, str]]:
        """Return name, number of people and topic of each room."""
        return [(room.name, len(room.names), room.topic) for room in self._town.rooms.values()]

    def perspective_people(self) -> list[str]:
        """Return the names of all who are here."""
        return [each.name for each in self._town.where()]

    def perspective_join(self, room: str) -> RoomCache | Awaitable[RoomCache]:
        """Go into a room; return a cache of it."""
        return self._paced(self._join, room)

    def perspective_part(self, room: str, why: str = "") -> Awaitable[None] | None:
        """Leave a room."""
        return self._paced(self._guest.part, room, why)

    def perspective_say(self, where: str, text: str) -> Awaitable[None] | None:
        """Say something in a room, or to a person."""
        return self._paced(self._guest.say, where, text)

    def perspective_notice(self, where: str, text: str) -> Awaitable[None] | None:
        """Say something as a bot."""
        return self._paced(self._guest.notice, where, text)

    def perspective_topic(self, room: str, text: str) -> Awaitable[None] | None:
        """Set the topic of a room."""
        return self._paced(self._guest.set_topic, room, text)

    @broker.allow(ADMINS)
    def perspective_manhole(self) -> broker.Manhole:
        """Return a Python prompt inside the server: ``pb shell ADDRESS --server --user admin``."""
        return broker.Manhole({"town": self._town}, group=ADMINS)

    def _join(self, name: str) -> RoomCache:
        room = self._guest.join(name)
        if name not in self._caches:
            self._caches[name] = RoomCache(room)
        return self._caches[name]

    def _paced(self, method: Callable[..., Result], *args: str) -> Result | Awaitable[Result]:
        """Call a method now; or later if the client calls faster than the rate."""
        if not all(isinstance(each, str) for each in args):
            raise ChatError("rooms, names and texts are strings")
        seconds = self._pace.wait(LONGEST_WAIT)
        return method(*args) if not seconds else _later(seconds, method, *args)


async def _later(seconds: float, method: Callable[..., Result], *args: str) -> Result:
    await asyncio.sleep(seconds)
    return method(*args)
