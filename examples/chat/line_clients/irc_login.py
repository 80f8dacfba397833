"""The login of IRC: CAP, SASL PLAIN, PASS, NICK and USER, and the welcome."""

from __future__ import annotations

import re

import broker
from cred import LoginFailed
from examples.chat.line_clients.connection import LineConnection
from examples.chat.line_clients.irc_registration import BadResponse, Registration, SASLPlain
from examples.chat.model import MOST_ROOMS_EACH, Town
from examples.chat.names import LONGEST_TOPIC, PERSON

__all__ = ["MOST_JOINED", "MOST_TARGETS", "SERVER", "IRCLogin", "field_of", "source_of"]

SERVER = "chat.example"
"""The name of the server in its lines."""

MOST_TARGETS = 4
"""How many rooms and people one message may go to."""

MOST_JOINED = 64
"""How many rooms one JOIN may name."""


class IRCLogin(LineConnection):
    """A connection of a client of IRC, up to its welcome."""

    def __init__(self, town: Town, logins: broker.PortalLogins, front_end: str):
        super().__init__(town, logins, front_end)
        self._state = Registration()

    @property
    def name(self) -> str:
        """The name of the client, as its lines have it."""
        return self.guest.name if self.guest is not None else self._state.nick or "*"

    def reply(self, number: str, *fields: str) -> None:
        """Write a numeric reply; the last field is free text."""
        *middle, last = fields
        self.write_line(" ".join((f":{SERVER}", number, self.name, *middle, f":{last}")))

    async def cap(self, what: str, which: str = "") -> None:
        """Negotiate capabilities: there is ``sasl``, where a password may be sent."""
        what, state = what.upper(), self._state
        offered = "sasl" if self.is_private else ""
        start = f":{SERVER} CAP {self.name}"
        if what == "LS":
            state.negotiates = not state.is_done
            is_new = which.isdecimal() and int(which[:9]) >= 302
            self.write_line(f"{start} LS :{offered}{'=PLAIN' * bool(is_new and offered)}")
        elif what == "REQ":
            state.negotiates = not state.is_done
            answer = "ACK" if which.split() == ["sasl"] and offered else "NAK"
            self.write_line(f"{start} {answer} :{which[:200]}")
        elif what == "LIST":
            self.write_line(f"{start} LIST :{offered}")
        elif what == "END":
            state.negotiates = False
            await self._register()
        else:
            self.reply("410", field_of(what), "Invalid CAP command")

    async def authenticate(self, data: str) -> None:
        """Log in by SASL PLAIN."""
        state = self._state
        if self.guest is not None:
            self.reply("907", "You are logged in already")
        elif data == "*":
            state.sasl = None
            self.reply("906", "SASL authentication aborted")
        elif state.sasl is None and data.upper() == "PLAIN" and self.is_private:
            state.sasl = SASLPlain()
            self.write_line("AUTHENTICATE +")
        elif state.sasl is None:
            self.reply("908", "PLAIN", "are available SASL mechanisms")
            self.reply("904", "only SASL PLAIN is there, inside TLS or on this machine")
        else:
            await self._respond(state.sasl, data)

    async def _respond(self, sasl: SASLPlain, data: str) -> None:
        state = self._state
        try:
            response = sasl.add(data)
            if response is None:
                return
            state.sasl = None
            guest = await self.log_in(*response)
        except (BadResponse, LoginFailed) as error:
            state.sasl = None
            self.reply("904", str(error))
            return
        self.reply("900", source_of(guest.name), guest.name, "You are now logged in")
        self.reply("903", "SASL authentication successful")

    async def take_password(self, *words: str) -> None:
        """Take the password for NICK and USER. Some clients send spaces of it without a colon."""
        self._state.password = " ".join(words)

    async def nick(self, name: str = "") -> None:
        """Take the name, which is that of the account."""
        if not name:
            self.reply("431", "No nickname given")
        elif self._state.is_done and self.guest is not None:
            if name != self.guest.name:
                self.reply("432", field_of(name), "your name here is that of your account")
        elif not PERSON.fullmatch(name):
            self.reply("432", field_of(name), "a name here is up to 32 letters, digits, _ or -")
        else:
            self._state.nick = name
            await self._register()

    async def take_user(self, user: str, *rest: str) -> None:
        """Take the last thing that a client has to tell."""
        if self._state.is_done:
            self.reply("462", "You are registered already")
        else:
            self._state.user = user or "*"
            await self._register()

    async def _register(self) -> None:
        state = self._state
        if not state.is_complete:
            return
        if self.guest is None:
            if not state.password:
                self.reply("464", "a password is needed: by PASS, or by SASL PLAIN")
                self.leave("no password")
                return
            password, state.password = state.password, ""
            try:
                await self.log_in(state.nick, password)
            except LoginFailed as error:
                self.reply("464", str(error))
                self.leave(str(error))
                return
        state.is_done = True
        self._welcome()

    def _welcome(self) -> None:
        self.reply("001", f"Welcome to the chat, {self.name}")
        self.reply("002", f"Your host is {SERVER}, running perspective-broker")
        self.reply("003", "This server keeps its rooms when it starts again")
        self.write_line(f":{SERVER} 004 {self.name} {SERVER} perspective-broker i n")
        self.reply(
            "005",
            "NETWORK=chat",
            "CASEMAPPING=ascii",
            "CHANTYPES=#",
            f"CHANLIMIT=#:{MOST_ROOMS_EACH}",
            "CHANNELLEN=51",
            "NICKLEN=32",
            f"TOPICLEN={LONGEST_TOPIC}",
            f"TARGMAX=PRIVMSG:{MOST_TARGETS},NOTICE:{MOST_TARGETS},JOIN:{MOST_JOINED}",
            "are supported by this server",
        )
        self.reply("375", f"- {SERVER} message of the day -")
        for line in self.town.banner.splitlines():
            self.reply("372", f"- {line}")
        self.reply("376", "End of message of the day")


def source_of(name: str) -> str:
    """Return a person as the source of a line."""
    return f"{name}!{name}@{SERVER}"


def field_of(text: str) -> str:
    """Return what a client has sent as a field in the middle of a line."""
    text = re.sub(r"[^!-~]", "_", text[:50]) or "*"
    return f"_{text[1:]}" if text.startswith(":") else text
