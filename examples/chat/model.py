"""The chat: rooms, the people in them, and the banner; it knows no wire and no socket.

A front end logs a user in with `IGuest` and a `Listener`, and gets a `Guest`. It calls ``join``,
``part``, ``say``, ``notice`` and ``set_topic``, which raise a `ChatError` with a text for the user.
It is told of events by the function of the listener, ``hears(event, room, who, text)``:

=========== ============================== ====================== ==================
event       room                           who                    text
=========== ============================== ====================== ==================
``said``    the room, or the hearer's own  the speaker            what was said
            name: a private message
``noticed`` the same                       the speaker            a notice of a bot, which no bot
                                                                  answers
``joined``  the room                       who has come           empty
``left``    the room                       who has gone           why
``topic``   the room                       who has set it         the topic
``banner``  empty                          the admin              the new banner
``gone``    empty                          the hearer             why
=========== ============================== ====================== ==================

``gone`` is the last event: the front end then closes the connection. Guests hear that they have
joined or left a room themselves, or set a topic, but not what they have said, and nothing after
they have left the chat. A text that begins with ``/me `` tells what its speaker does. ``hears``
neither blocks nor raises. Texts have no control characters; names are checked by
`examples.chat.names`.

A web page logs an admin in with `IAdmin`, and gets an `Admin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from zope.interface import Interface

from cred import LoginDenied
from examples.chat.errors import BadName, NoSuchPlace, TooMany
from examples.chat.guests import MOST_ROOMS_EACH, Guest, Hears, Listener, Others, Whereabouts
from examples.chat.names import check_banner, check_person, check_room, check_text
from examples.chat.pace import USUAL_RATE, Rate
from examples.chat.rooms import Archive, Line, Room

__all__ = [
    "ADMINS",
    "LOBBY",
    "MOST_ROOMS_EACH",
    "Admin",
    "Archive",
    "Guest",
    "Hears",
    "IAdmin",
    "IGuest",
    "Line",
    "Listener",
    "Room",
    "Town",
    "Whereabouts",
]

ADMINS = "admins"
"""The group of the users who may use the admin's page."""

LOBBY = "#lobby"
"""The room of a front end that has only one."""

MOST_ROOMS = 1_000


class IGuest(Interface):  # type: ignore[misc]
    """A user in the chat, for front ends other than PB."""


class IAdmin(Interface):  # type: ignore[misc]
    """A user of the group `ADMINS`, who may set the banner and kick people."""


class Town:
    """All rooms and all people.

    Args:
        archive: keeps banner, topics and histories; None to forget them at the end.
        clock: returns the time in seconds since 1970.
        rate: how often a guest may say something, on every front end.

    Attributes:
        banner: shown to everybody who comes; up to 20 lines.
        rooms: all rooms, by name.
        end_sessions: ends all sessions of a user on every front end, and returns how many there
            were: ``end_sessions(name, why)`` of the PortalLogins; set by `main`.
        others: the other nodes of the chat, or None; see `examples.chat.nodes`.
    """

    def __init__(
        self,
        archive: Archive | None = None,
        clock: Callable[[], float] = time.time,
        rate: Rate = USUAL_RATE,
    ):
        self.banner = "Welcome to the chat."
        self.rooms: dict[str, Room] = {}
        self.end_sessions: Callable[[str, str], int] | None = None
        self.others: Others | None = None
        self.clock = clock
        self.archive = archive
        self.rate = rate
        self._people: dict[str, Guest] = {}
        self._watchers: set[Callable[[], None]] = set()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call a function after each change of `where`; return the function that ends that."""
        self._watchers.add(changed)
        return lambda: self._watchers.discard(changed)

    def moved(self) -> None:
        """Tell those who watch that somebody has come, gone, or changed rooms."""
        for changed in list(self._watchers):
            changed()

    def enter(self, avatar_id: Any, listener: Listener, home: str | None = None) -> Guest:
        """Let a user in. An earlier session of the same user ends: it hears ``gone``.

        Args:
            avatar_id: the name of the user.
            listener: the front end.
            home: the node whose front end it is; None for this one.

        Raises:
            LoginDenied: the name cannot be used here, or differs only in capital letters from that
                of somebody who is here.
        """
        try:
            name = check_person(str(avatar_id))
        except BadName as error:
            raise LoginDenied(str(error)) from None
        before = self._people.get(name.lower())
        if before is not None:
            if before.name != name:
                raise LoginDenied("somebody with almost the same name is here")
            before.dismiss("you have come in again from elsewhere")
        guest = self._people[name.lower()] = Guest(self, name, listener, home)
        self.moved()
        guest.tell_others("came", "", listener.front_end, guest.whereabouts.since)
        return guest

    def administer(self, avatar_id: Any) -> Admin:
        """Return the rights of an admin; LoginDenied to others."""
        if ADMINS not in getattr(avatar_id, "groups", ()):
            raise LoginDenied("only admins may do that")
        return Admin(self, str(avatar_id))

    def person(self, name: str) -> Guest | None:
        """Return the guest of that name, in capital or small letters; None if not here."""
        return self._people.get(name.lower())

    def find(self, name: str) -> Room:
        """Return a room; NoSuchPlace if there is none of that name."""
        room = self.rooms.get(name)
        if room is None:
            raise NoSuchPlace("there is no such room")
        return room

    def guests(self) -> list[Guest]:
        """Return all who are here."""
        return list(self._people.values())

    def where(self) -> list[Whereabouts]:
        """Return where everybody is, in the order of their names."""
        return sorted(guest.whereabouts for guest in self._people.values())

    def kick(self, name: str, why: str = "") -> bool:
        """End all sessions of a user, on every front end; return whether the user had one.

        Only the user of exactly that name is meant: another user may have a name that differs in
        capital letters.
        """
        reason = f"kicked: {why}" if (why := check_text(why)) else "kicked"
        if self.others is not None:
            self.others.tell("kick", name, "", reason, self.clock())
        return self.expel(name, reason)

    def expel(self, name: str, reason: str) -> bool:
        """End all sessions of a user at this node; return whether the user was in the chat."""
        guest = self.person(name)
        is_here = guest is not None and guest.name == name
        if guest is not None and is_here:
            guest.dismiss(reason)
        ended = 0 if self.end_sessions is None else self.end_sessions(name, reason)
        return is_here or bool(ended)

    def open_room(self, name: str) -> Room:
        """Return a room; make it if it does not exist. An empty room may be forgotten for it.

        Raises:
            BadName: it cannot be the name of a room.
            TooMany: there are 1,000 rooms, and somebody is in each.
        """
        room = self.rooms.get(check_room(name))
        if room is None:
            if len(self.rooms) >= MOST_ROOMS:
                self._forget_room()
            room = self.rooms[name] = Room(name)
        return room

    def close_room(self, room: Room) -> None:
        """Forget a room that is empty and in which nothing has happened."""
        if not room.names and not room.topic and not room.history:
            self.rooms.pop(room.name, None)

    def remove(self, guest: Guest) -> None:
        """Forget a guest who has left."""
        if self._people.get(guest.name.lower()) is guest:
            del self._people[guest.name.lower()]
            self.moved()

    def set_banner(self, who: str, banner: str) -> None:
        """Set the banner and tell everybody; TooMany if it is longer than a banner may be."""
        banner = check_banner(banner)
        if self.archive is not None:
            self.archive.keep_banner(banner)
        if self.others is not None:
            self.others.tell("banner", who, "", banner, self.clock())
        self.show_banner(who, banner)

    def show_banner(self, who: str, banner: str) -> None:
        """Take a banner that was set, and tell everybody at this node."""
        self.banner = banner
        for guest in list(self._people.values()):
            guest.hear("banner", "", who, self.banner)

    def _forget_room(self) -> None:
        empty = [room for room in self.rooms.values() if not room.names]
        if not empty:
            raise TooMany(f"there are {MOST_ROOMS} rooms")
        oldest = min(empty, key=lambda room: room.history[-1].at if room.history else 0.0)
        del self.rooms[oldest.name]
        if self.archive is not None:
            self.archive.forget_room(oldest.name)


class Admin:
    """What an admin may do, on the admin's page."""

    def __init__(self, town: Town, name: str):
        self.town, self.name = town, name

    def set_banner(self, banner: str) -> None:
        """Set the banner; TooMany if it is longer than 2,000 characters or 20 lines."""
        self.town.set_banner(self.name, banner)

    def where(self) -> list[Whereabouts]:
        """Return where everybody is."""
        return self.town.where()

    def kick(self, name: str, why: str = "") -> bool:
        """End all sessions of a user, on every front end; return whether the user had one."""
        return self.town.kick(name, why)
