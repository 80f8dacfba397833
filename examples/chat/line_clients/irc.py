"""The front end for IRC: what each command of a client does, and how events become lines."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, NamedTuple

from examples.chat.errors import BadName, ChatError, NoSuchPlace, NotInRoom, TooMany
from examples.chat.line_clients.connection import encoded
from examples.chat.line_clients.irc_login import (
    MOST_JOINED,
    MOST_TARGETS,
    SERVER,
    IRCLogin,
    field_of,
    source_of,
)
from examples.chat.line_clients.irc_parser import LONGEST_LINE, LONGEST_TAGS, cut, parse
from examples.chat.model import Guest, Room

__all__ = ["IRC"]

SHOWN = 10
"""How many lines of the history of a room a guest is shown."""

WIDEST_NAMES = 400
"""The most bytes of names in one line."""

# Bold, colours and the like, which other front ends do not show.
_FORMATS = re.compile(
    r"\x03(\d{1,2}(,\d{1,2})?)?|\x04([0-9A-Fa-f]{6})?|[\x02\x0f\x11\x16\x1d-\x1f]"
)

_ACTION = "\x01ACTION "

_NUMBERS: dict[type[ChatError], str] = {NoSuchPlace: "401", NotInRoom: "442", BadName: "476"}


class IRC(IRCLogin):
    """A connection of a client of IRC; what it sends picks a row of `COMMANDS`."""

    # What LineConnection asks for.

    async def take(self, line: str) -> None:
        """Handle a line."""
        message = parse(line)
        row = COMMANDS.get(message.command)
        count = len(message.parameters)
        if not message.command:
            return
        if row is None:
            self.reply("421", field_of(message.command), "Unknown command")
        elif not self._state.is_done and not row.is_before_login:
            self.reply("451", "You have not registered")
        elif count < row.fewest:
            self.reply("461", message.command, "Not enough parameters")
        else:
            try:
                await row.method(self, *message.parameters[: row.most])
            except ChatError as error:
                self._refuse(error, message.parameters[0] if count else "*")

    def hears(self, event: str, room: str, who: str, text: str) -> None:
        """Write an event as lines of IRC."""
        if event == "gone":
            self.leave(text, is_kicked=True)
        elif event == "banner":
            for line in text.splitlines():
                self.write_line(f":{SERVER} NOTICE {self.name} :{line}")
        else:
            self.write(*_lines_of(event, room, who, text))

    def catch_up(self, missed: int) -> None:
        """Tell how much was missed, and how the rooms are now."""
        self.write_line(f":{SERVER} NOTICE {self.name} :you have missed {missed} lines")
        for room in self._here.rooms.values():
            self._tell_topic(room)
            self._names(room)

    def say_goodbye(self, why: str, *, is_kicked: bool) -> None:
        """Write the last lines; clients do not connect again by themselves after KILL."""
        if is_kicked:
            self.write_line(f":{SERVER} KILL {self.name} :{why}")
        self.write_line(f"ERROR :Closing link: {why}")

    def _longest(self, line: bytes) -> int:
        return LONGEST_LINE + (LONGEST_TAGS if line.startswith(b"@") else 0)

    # Lines that go out.

    def _refuse(self, error: ChatError, what: str) -> None:
        self.reply(_NUMBERS.get(type(error), "400"), field_of(what), str(error))

    # The rooms.

    async def join(self, names: str, *keys: str) -> None:
        """Go into rooms; ``0`` leaves all."""
        if names == "0":
            for name in list(self._here.rooms):
                self._here.part(name)
            return
        for name in names.lower().split(",")[:MOST_JOINED]:
            try:
                if name not in self._here.rooms:
                    self._came_into(self._here.join(name))
            except ChatError as error:
                number = "405" if isinstance(error, TooMany) else "403"
                self.reply(number, field_of(name), str(error))

    def _came_into(self, room: Room) -> None:
        if room.topic:
            self.reply("332", room.name, room.topic)
        self._names(room)
        for line in list(room.history)[-SHOWN:]:
            clock = time.strftime("%H:%M", time.localtime(line.at))
            self.write_line(f":{SERVER} NOTICE {room.name} :[{clock}] {line}")

    async def part(self, names: str, why: str = "") -> None:
        """Leave rooms."""
        for name in names.lower().split(",")[:MOST_JOINED]:
            try:
                self._here.part(name, why)
            except ChatError as error:
                self._refuse(error, name)

    async def topic(self, name: str, text: str | None = None) -> None:
        """Tell the topic, or set it."""
        name = name.lower()
        if text is not None:
            self._here.set_topic(name, _plain(text))
            return
        self._tell_topic(self.town.find(name))

    def _tell_topic(self, room: Room) -> None:
        if room.topic:
            self.reply("332", room.name, room.topic)
        else:
            self.reply("331", room.name, "No topic is set")

    async def names(self, names: str = "*") -> None:
        """Tell who is in rooms."""
        for name in names.lower().split(",")[:MOST_TARGETS]:
            room = self.town.rooms.get(name)
            if room is None:
                self.reply("366", field_of(name), "End of /NAMES list")
            else:
                self._names(room)

    def _names(self, room: Room) -> None:
        names: list[str] = []
        for name in room.names:
            if names and len(" ".join(names)) + len(name) >= WIDEST_NAMES:
                self.reply("353", "=", room.name, " ".join(names))
                names = []
            names.append(name)
        self.reply("353", "=", room.name, " ".join(names))
        self.reply("366", room.name, "End of /NAMES list")

    async def list_rooms(self, names: str = "") -> None:
        """Tell all rooms, or some."""
        asked = names.lower().split(",") if names else list(self.town.rooms)
        self.reply("321", "Channel", "Users  Name")
        for name in asked:
            room = self.town.rooms.get(name)
            if room is not None:
                self.reply("322", room.name, str(len(room.names)), room.topic)
        self.reply("323", "End of /LIST")

    # What is said, and who is there.

    async def say(self, targets: str, text: str) -> None:
        """Say something, in rooms or to people."""
        if text.startswith(_ACTION):
            text = f"/me {text[len(_ACTION) :].rstrip(chr(1))}"
        elif text.startswith("\x01"):
            # Questions of one client to another, such as for its version.
            return
        text = _plain(text)
        if not text.strip():
            self.reply("412", "No text to send")
            return
        for target in targets.split(",")[:MOST_TARGETS]:
            try:
                self._here.say(_place(target), text)
            except NotInRoom as error:
                self.reply("404", field_of(target), str(error))
            except ChatError as error:
                self._refuse(error, target)

    async def notice(self, targets: str, text: str) -> None:
        """Say something as a bot; it is never answered, not even with an error (RFC 2812)."""
        if text.startswith("\x01"):
            return
        for target in targets.split(",")[:MOST_TARGETS]:
            try:
                self._here.notice(_place(target), _plain(text))
            except ChatError:
                continue

    async def who(self, name: str = "*", *rest: str) -> None:
        """Tell who is in a room, or about a person."""
        room = self.town.rooms.get(name.lower())
        person = self.town.person(name)
        names = room.names if room is not None else [person.name] if person is not None else []
        where = room.name if room is not None else "*"
        for each in names:
            self.reply("352", where, each, SERVER, SERVER, each, "H", f"0 {each}")
        self.reply("315", field_of(name), "End of /WHO list")

    async def whois(self, *names: str) -> None:
        """Tell about a person."""
        name = names[-1]
        person = self.town.person(name)
        if person is None:
            self.reply("401", field_of(name), "No such nick")
        else:
            self.reply("311", person.name, person.name, SERVER, "*", person.name)
            if person.rooms:
                self.reply("319", person.name, " ".join(person.rooms))
            self.reply("312", person.name, SERVER, f"by {person.whereabouts.front_end}")
        self.reply("318", field_of(name), "End of /WHOIS list")

    async def mode(self, name: str, *rest: str) -> None:
        """Tell the modes, which nobody can change."""
        if not name.startswith("#"):
            self.reply("221", "+i")
        elif rest[:1] in (("b",), ("+b",)):
            self.reply("368", self.town.find(name.lower()).name, "End of channel ban list")
        else:
            self.reply("324", self.town.find(name.lower()).name, "+n")

    async def ping(self, token: str) -> None:
        """Answer."""
        self.write_line(f":{SERVER} PONG {SERVER} :{token}")

    async def pong(self, *rest: str) -> None:
        """Do nothing: the client is there."""

    async def quit(self, why: str = "") -> None:
        """Leave the chat."""
        if self.guest is not None:
            self.guest.leave(_plain(why).translate({1: ""}))
        self.leave("bye")

    @property
    def _here(self) -> Guest:
        assert self.guest is not None
        return self.guest


_COMMAND_OF = {"said": "PRIVMSG", "noticed": "NOTICE", "left": "PART", "topic": "TOPIC"}


# An event is the same for everybody in a room.
@lru_cache(maxsize=64)
def _lines_of(event: str, room: str, who: str, text: str) -> tuple[bytes, ...]:
    if event == "joined":
        return (encoded(f":{source_of(who)} JOIN {room}"),)
    start = f":{source_of(who)} {_COMMAND_OF[event]} {room} :"
    begin, end = "", ""
    if event == "said" and text.startswith("/me "):
        begin, end, text = _ACTION, "\x01", text.removeprefix("/me ")
    room_left = LONGEST_LINE - 2 - len(start) - len(begin) - len(end)
    return tuple(encoded(start + begin + piece + end) for piece in cut(text, room_left))


class Row(NamedTuple):
    """What a command does.

    Attributes:
        method: is called with the parameters.
        fewest, most: how many of them; further ones are dropped.
        is_before_login: whether it may come before the client is welcome.
    """

    method: Callable[..., Awaitable[Any]]
    fewest: int = 0
    most: int = 15
    is_before_login: bool = False


COMMANDS = {
    "AUTHENTICATE": Row(IRC.authenticate, 1, 1, True),
    "CAP": Row(IRC.cap, 1, 2, True),
    "JOIN": Row(IRC.join, 1),
    "LIST": Row(IRC.list_rooms, 0, 1),
    "MODE": Row(IRC.mode, 1),
    "NAMES": Row(IRC.names, 0, 1),
    "NICK": Row(IRC.nick, 0, 1, True),
    "NOTICE": Row(IRC.notice, 2, 2),
    "PART": Row(IRC.part, 1, 2),
    "PASS": Row(IRC.take_password, 1, is_before_login=True),
    "PING": Row(IRC.ping, 1, 1, True),
    "PONG": Row(IRC.pong, 0, 1, True),
    "PRIVMSG": Row(IRC.say, 2, 2),
    "QUIT": Row(IRC.quit, 0, 1, True),
    "TOPIC": Row(IRC.topic, 1, 2),
    "USER": Row(IRC.take_user, 4, 4, True),
    "WHO": Row(IRC.who, 0, 2),
    "WHOIS": Row(IRC.whois, 1),
}


def _place(target: str) -> str:
    return target.lower() if target.startswith("#") else target


def _plain(text: str) -> str:
    return _FORMATS.sub("", text)
