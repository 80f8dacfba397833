"""The front end for netcat: asks for name and password; then each line is said in the lobby."""

from __future__ import annotations

import textwrap
import time
from functools import lru_cache

from cred import LoginFailed
from examples.chat.errors import ChatError
from examples.chat.line_clients.connection import LineConnection, encoded
from examples.chat.model import LOBBY
from examples.chat.names import check_text
from examples.chat.rooms import sentence

__all__ = ["PlainLines"]

SHOWN = 10
"""How many lines of the history a guest is shown."""

WIDTH = 72

HELP = "/quit leaves; /who lists who is here; /topic TEXT sets the topic; /msg NAME TEXT tells one"

_HEARD = {
    "joined": "* {who} has come",
    "left": "* {who} has gone",
    "topic": "* {who} has set the topic: {text}",
    "noticed": "-{who}- {text}",
}


# An event is the same for everybody in a room.
@lru_cache(maxsize=64)
def _line_of(event: str, room: str, who: str, text: str) -> bytes:
    if event == "said":
        return encoded(f"{'' if room == LOBBY else '(to you) '}{sentence(who, text)}")
    return encoded(_HEARD[event].format(who=who, text=text))


class PlainLines(LineConnection):
    """A connection of netcat."""

    _name = ""

    async def begin(self) -> None:
        """Show the banner, and ask for the name."""
        self._show_banner(self.town.banner)
        self.write_line("name:")

    async def take(self, line: str) -> None:
        """Take the name, the password, and then what is to be said."""
        if self.guest is not None:
            try:
                self._take_text(line)
            except ChatError as error:
                self.write_line(f"! {error}")
        elif line == "/quit":
            self.leave("bye")
        elif not self._name:
            self._name = line.strip()
            self.write_line("password:" if self._name else "name:")
        else:
            await self._come_in(line)

    def hears(self, event: str, room: str, who: str, text: str) -> None:
        """Write an event."""
        if event == "gone":
            self.leave(f"* {text}")
        elif event == "banner":
            self._show_banner(text)
        else:
            self.write(_line_of(event, room, who, text))

    def catch_up(self, missed: int) -> None:
        """Tell how much was missed."""
        self.write_line(f"! you have missed {missed} lines")

    def _show_banner(self, banner: str) -> None:
        for line in banner.splitlines():
            self.write_line(line)

    async def _come_in(self, password: str) -> None:
        try:
            guest = await self.log_in(self._name, password)
        except LoginFailed as error:
            self.leave(str(error))
            return
        history = list(self.town.rooms[LOBBY].history) if LOBBY in self.town.rooms else []
        for line in history[-SHOWN:]:
            self.write_line(f"{time.strftime('%H:%M', time.localtime(line.at))} {line}")
        room = guest.join(LOBBY)
        self.write_line(f"you are in {LOBBY}, people: {len(room.names)}; /help helps")
        if room.topic:
            self.write_line(f"topic: {room.topic}")

    def _take_text(self, line: str) -> None:
        assert self.guest is not None
        command, _, rest = line.partition(" ")
        if command == "/quit":
            self.leave("bye")
        elif command == "/help":
            self.write_line(HELP)
        elif command == "/who":
            for names in textwrap.wrap(" ".join(sorted(self.town.find(LOBBY).names)), WIDTH):
                self.write_line(names)
        elif command == "/topic":
            self.guest.set_topic(LOBBY, rest)
        elif command == "/msg":
            name, _, text = rest.partition(" ")
            # A room would be taken too, but this guest is in the lobby only.
            self.guest.say(name, text)
        elif command.startswith("/") and command != "/me":
            self.write_line(f"! there is no {check_text(command[:20])}; {HELP}")
        else:
            self.guest.say(LOBBY, line)
