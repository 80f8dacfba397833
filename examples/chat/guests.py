"""The people in the chat: what each may do, and where they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple, Protocol

from examples.chat.errors import ChatError, NoSuchPlace, NotInRoom, TooMany
from examples.chat.names import LONGEST_TOPIC, check_room, check_text
from examples.chat.rooms import Archive, Line, Room

if TYPE_CHECKING:
    from examples.chat.model import Town

__all__ = ["MOST_ROOMS_EACH", "Guest", "Hears", "Listener", "Others", "Whereabouts"]

MOST_ROOMS_EACH = 10

logger = logging.getLogger("examples.chat")


class Hears(Protocol):
    """Tells a front end of an event; see `examples.chat.model`."""

    def __call__(self, event: str, room: str, who: str, text: str, /) -> None: ...


class Listener(NamedTuple):
    """What a front end passes to a login as the mind.

    Attributes:
        hears: is called for each event.
        front_end: its name, for the list of who is where: ``"irc"``.
    """

    hears: Hears
    front_end: str


class Whereabouts(NamedTuple):
    """Where a guest is: by which front end, since when, and in which rooms."""

    name: str
    front_end: str
    since: float
    rooms: tuple[str, ...]


class Others(Protocol):
    """The other nodes of the chat."""

    def tell(self, event: str, who: str, room: str, text: str, at: float, /) -> None:
        """Tell them of an event of this node, and its time; neither blocks nor raises."""
        ...


class Guest:
    """A user in the chat, by whichever front end.

    Attributes:
        name: the user's name.
        rooms: the rooms that the guest is in, by name.
        is_here: whether the guest has neither left nor been dismissed.
        home: the node whose front end the guest uses; None for this one.
    """

    def __init__(self, town: Town, name: str, listener: Listener, home: str | None = None):
        self.town, self.name, self.home = town, name, home
        self.rooms: dict[str, Room] = {}
        self.is_here = True
        self._listener = listener
        self._since = town.clock()

    @property
    def whereabouts(self) -> Whereabouts:
        """Where the guest is."""
        return Whereabouts(self.name, self._listener.front_end, self._since, tuple(self.rooms))

    def hear(self, event: str, room: str, who: str, text: str = "") -> None:
        """Tell the front end, unless the guest has left.

        An error of one front end does not keep the others from hearing.
        """
        if not self.is_here and event != "gone":
            return
        try:
            self._listener.hears(event, room, who, text)
        except Exception:
            logger.exception("%s could not be told of %r", self.name, event)

    def join(self, name: str) -> Room:
        """Go into a room, and return it; make it if it does not exist.

        Raises:
            BadName: it cannot be the name of a room.
            TooMany: the guest is in 10 rooms, or there are too many rooms.
        """
        self._check_here()
        if name not in self.rooms:
            check_room(name)
            if len(self.rooms) >= MOST_ROOMS_EACH:
                raise TooMany(f"you are in {MOST_ROOMS_EACH} rooms")
            room = self.rooms[name] = self.town.open_room(name)
            room.add(self)
            self.town.moved()
            self.tell_others("joined", name)
        return self.rooms[name]

    def part(self, name: str, why: str = "") -> None:
        """Leave a room; NotInRoom if the guest is not in it."""
        room = self._room(name)
        why = check_text(why)
        room.remove(self, why)
        del self.rooms[name]
        self.town.close_room(room)
        self.town.moved()
        self.tell_others("left", name, why)

    def say(self, where: str, text: str) -> None:
        """Say something in a room, or to a person; an empty text is not passed on.

        Raises:
            NotInRoom: the guest is not in that room.
            NoSuchPlace: nobody of that name is here.
            TooMany: the text is longer than 500 characters.
        """
        self._speak("said", where, text)

    def notice(self, where: str, text: str) -> None:
        """Say something as a bot, to which no bot answers; it is not kept in the history."""
        self._speak("noticed", where, text)

    def set_topic(self, name: str, topic: str) -> None:
        """Set the topic of a room.

        Raises:
            NotInRoom: the guest is not in that room.
            TooMany: the topic is longer than 300 characters.
        """
        room = self._room(name)
        room.topic = check_text(topic, LONGEST_TOPIC)
        if (archive := self._archive) is not None:
            archive.keep_topic(name, room.topic)
        room.tell("topic", self.name, room.topic)
        self.tell_others("topic", name, room.topic)

    def leave(self, why: str = "") -> None:
        """Leave the chat; does nothing after the first time."""
        if not self.is_here:
            return
        self.is_here = False
        rooms, self.rooms = self.rooms, {}
        self.town.remove(self)
        for room in rooms.values():
            room.remove(self, why)
            self.town.close_room(room)
        self.tell_others("went", "", why)

    def dismiss(self, why: str) -> None:
        """Make the guest leave: the front end hears ``gone`` and closes the connection."""
        if self.is_here:
            self.leave(why)
            self.hear("gone", "", self.name, why)

    def logout(self) -> None:
        """Leave the chat: the login has ended."""
        self.leave()

    def tell_others(self, event: str, room: str, text: str = "", at: float | None = None) -> None:
        """Tell the other nodes what a guest of this one has done, at a time; default: now."""
        if self.home is None and self.town.others is not None:
            at = self.town.clock() if at is None else at
            self.town.others.tell(event, self.name, room, text, at)

    @property
    def _archive(self) -> Archive | None:
        # What happens at another node is kept by that.
        return self.town.archive if self.home is None else None

    def _speak(self, event: str, where: str, text: str) -> None:
        self._check_here()
        text = check_text(text)
        if not text:
            return
        if where.startswith("#"):
            room = self._room(where)
            at = self.town.clock()
            if event == "said":
                line = Line(at, self.name, text)
                room.history.append(line)
                if (archive := self._archive) is not None:
                    archive.keep_line(where, line)
            room.tell(event, self.name, text, skip=self)
            self.tell_others(event, where, text, at)
            return
        person = self.town.person(where)
        if person is None:
            raise NoSuchPlace("nobody of that name is here")
        person.hear(event, person.name, self.name, text)

    def _room(self, name: str) -> Room:
        self._check_here()
        room = self.rooms.get(name)
        if room is None:
            raise NotInRoom("you are not in that room")
        return room

    def _check_here(self) -> None:
        if not self.is_here:
            raise ChatError("you have left")
