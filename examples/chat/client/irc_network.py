"""The network of IRC, by hand: RFC 2812, and the login by SASL PLAIN of IRCv3."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import ClassVar

import broker
from cred import LoginFailed
from examples.chat.client.model import Event
from examples.chat.line_clients.irc_parser import Message, compose, cut, parse

__all__ = ["IRCNetwork"]

SILENCE = 90.0
"""Seconds without a line after which we ask whether the server is there, and then give up."""

LONGEST_TEXT = 350
"""Bytes of a text in one line; the server puts our name and the room before it."""

ACTION = "\x01ACTION "
"""What begins a text that tells what its speaker does; the model has ``/me`` for it."""

SETUP = 15.0
"""Seconds for the connection and the login."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_REFUSED = ("432", "433", "464", "902", "904", "905", "908")


class IRCNetwork:
    """A user of an IRC server.

    Args:
        host, port: of the server.
        nick, password: of the user; the password is sent inside TLS, or on this machine only.
        tls: the trusted authorities; None for a connection without TLS.
    """

    def __init__(
        self, host: str, port: int, nick: str, password: str, tls: ssl.SSLContext | None = None
    ):
        if tls is None and host not in _LOOPBACK:
            raise broker.ConfigError(f"irc://{host}: use irc+tls://, the password is not for all")
        self._host, self._port, self._tls = host, port, tls
        self._nick, self._password = nick, password
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._names: dict[str, list[str]] = {}
        self._topics: dict[str, str] = {}
        self._banner: list[str] = []

    async def connect(self) -> None:
        """Connect and log in."""
        self._names, self._topics, self._banner = {}, {}, []
        async with asyncio.timeout(SETUP):
            self._reader, self._writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._tls
            )
            try:
                await self._log_in()
            except BaseException:
                self._writer.transport.abort()
                raise

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens, until the connection ends."""
        end = Event("offline", text="the connection was lost")
        try:
            while (message := await self._next()) is not None:
                if message.command == "PING":
                    self._write("PONG", *message.parameters[-1:])
                elif message.command == "ERROR":
                    end = end._replace(text=" ".join(message.parameters))
                elif message.command == "KILL":
                    end = Event("stopped", text=" ".join(message.parameters[1:]))
                    break
                event = self._event(message)
                if event is not None:
                    yield event
        except OSError as error:
            end = end._replace(text=str(error) or end.text)
        finally:
            await self.close()
        yield end

    async def join(self, room: str) -> None:
        """Go into a room."""
        self._write("JOIN", _field(room))

    async def part(self, room: str) -> None:
        """Leave a room."""
        self._write("PART", _field(room))

    async def say(self, where: str, text: str) -> None:
        """Say something in a room, or to a person; a long text is sent in several lines."""
        begin, end = "", ""
        if text.startswith("/me "):
            begin, end, text = ACTION, "\x01", text.removeprefix("/me ")
        for piece in cut(text, LONGEST_TEXT):
            self._write("PRIVMSG", where, f"{begin}{piece}{end}")

    async def set_topic(self, room: str, text: str) -> None:
        """Set the topic of a room."""
        self._write("TOPIC", room, text)

    async def close(self) -> None:
        """Disconnect."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError, TimeoutError):
                writer.write(b"QUIT\r\n")
                writer.close()
                async with asyncio.timeout(2):
                    await writer.wait_closed()
            writer.transport.abort()

    def _write(self, command: str, *parameters: str) -> None:
        """Send a line; what ends a line becomes a space. All that is sent goes through here."""
        if self._writer is None:
            raise ConnectionResetError("the connection was lost")
        plain = [each.translate({13: " ", 10: " ", 0: " "}) for each in parameters]
        try:
            line = compose(command, *plain)
        except ValueError:
            raise broker.Error(f"{plain[0]!r} is not a name") from None
        self._writer.write(line.encode("utf-8", "replace") + b"\r\n")

    async def _line(self) -> Message | None:
        try:
            line = await self._reader.readline()
        except ValueError:
            raise ConnectionResetError("the server sent a line that is too long") from None
        return parse(line.decode("utf-8", "replace").rstrip("\r\n")) if line else None

    async def _next(self) -> Message | None:
        try:
            async with asyncio.timeout(SILENCE):
                return await self._line()
        except TimeoutError:
            self._write("PING", "still there?")
        async with asyncio.timeout(SILENCE):
            return await self._line()

    async def _log_in(self) -> None:
        self._write("CAP", "REQ", "sasl")
        self._write("NICK", self._nick)
        self._write("USER", self._nick, "0", "*", self._nick)
        while (message := await self._line()) is not None:
            command, said = message.command, message.parameters
            if command == "CAP" and "ACK" in said:
                self._write("AUTHENTICATE", "PLAIN")
            elif command == "CAP" and "NAK" in said:
                raise LoginFailed("the server does not take logins by SASL")
            elif command == "AUTHENTICATE":
                secret = f"\0{self._nick}\0{self._password}".encode()
                self._write("AUTHENTICATE", base64.b64encode(secret).decode())
            elif command == "903":
                self._write("CAP", "END")
            elif command == "PING":
                self._write("PONG", *said[-1:])
            elif command in _REFUSED:
                raise LoginFailed(said[-1])
            elif command == "ERROR":
                raise ConnectionResetError(said[-1] if said else "refused")
            elif command == "001":
                return
        raise ConnectionResetError("the server closed the connection before the login")

    def _event(self, message: Message) -> Event | None:
        method = self._ROWS.get(message.command)
        if method is not None:
            try:
                return method(self, message)
            except (IndexError, ValueError):
                # The line lacks fields.
                return None
        if message.command.isdigit() and message.command >= "400":
            # Often it is about a room or a person, named first.
            about = message.parameters[1:]
            return Event("error", about[0] if len(about) > 1 else "", text=" ".join(about))
        return None

    # One method for each command: what a server sends picks a row of the table below.

    def _said(self, message: Message) -> Event:
        where, text = message.parameters[:2]
        kind = "said" if message.command == "PRIVMSG" else "noticed"
        place = where if where.startswith("#") else message.nick
        if text.startswith(ACTION):
            text = f"/me {text.removeprefix(ACTION).rstrip(chr(1))}"
        # A server's own notices have no user in their source.
        return Event(kind, place if "!" in message.source else "", message.nick, text)

    def _joined(self, message: Message) -> Event:
        return Event("joined", message.parameters[0], message.nick)

    def _left(self, message: Message) -> Event:
        why = message.parameters[1] if len(message.parameters) > 1 else ""
        return Event("left", message.parameters[0], message.nick, why)

    def _kicked(self, message: Message) -> Event:
        room, who, *why = message.parameters
        return Event("left", room, who, " ".join(why))

    def _renamed(self, message: Message) -> Event:
        return Event("renamed", "", message.nick, message.parameters[0])

    def _quit(self, message: Message) -> Event:
        return Event("quit", "", message.nick, " ".join(message.parameters))

    def _topic(self, message: Message) -> Event:
        return Event("topic", message.parameters[0], message.nick, message.parameters[1])

    def _had_topic(self, message: Message) -> None:
        self._topics[message.parameters[1]] = message.parameters[2]

    def _some_names(self, message: Message) -> None:
        names = self._names.setdefault(message.parameters[2], [])
        names += [name.lstrip("@+%&~") for name in message.parameters[3].split()]

    def _all_names(self, message: Message) -> Event:
        room = message.parameters[1]
        names = tuple(self._names.pop(room, ()))
        return Event("room", room, "", self._topics.pop(room, ""), names)

    def _banner_line(self, message: Message) -> None:
        self._banner.append(message.parameters[1].removeprefix("- "))

    def _banner_end(self, message: Message) -> Event:
        lines, self._banner = self._banner, []
        return Event("banner", text="\n".join(lines))

    _ROWS: ClassVar[dict[str, Callable[[IRCNetwork, Message], Event | None]]] = {
        "PRIVMSG": _said, "NOTICE": _said, "JOIN": _joined, "PART": _left, "KICK": _kicked,
        "QUIT": _quit, "TOPIC": _topic, "332": _had_topic, "353": _some_names, "366": _all_names,
        "372": _banner_line, "376": _banner_end, "422": _banner_end, "NICK": _renamed,
    }  # fmt: skip


def _field(name: str) -> str:
    """Return a name that is one field, wherever it stands in a line."""
    if not name or " " in name or name.startswith(":"):
        raise broker.Error(f"{name!r} is not a name")
    return name
