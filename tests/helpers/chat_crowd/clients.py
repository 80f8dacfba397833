"""One client of each kind for a crowd: each notes how long it has waited for what others say."""

from __future__ import annotations

import asyncio
import ssl
import time
from array import array
from typing import Any

import broker
from chat_crowd.server import PASSWORD
from cred import UsernamePassword
from examples.chat.room_view import RoomView as RoomView

__all__ = ["DOORS", "Ear", "connected"]

DOORS = ("irc", "pb", "lines", "ircs", "pb_plain", "twisted")
"""The front ends, as the address of each is called; ``twisted`` is PB in the dialect ``pb``."""

MARK = "said-at"


class Ear:
    """What a client hears.

    Attributes:
        waits: the seconds that each text of others has taken to come.
        last: the number of the last text of each speaker; they come in their order.
        faults: what was out of order.
    """

    def __init__(self) -> None:
        self.waits = array("d")
        self.last: dict[str, int] = {}
        self.faults: list[str] = []

    def hear(self, text: str) -> None:
        """Note a text, ``said-at TIME SPEAKER NUMBER``, wherever it stands in a line."""
        _, mark, rest = text.partition(MARK)
        if not mark:
            return
        at, speaker, number = rest.split()[:3]
        self.waits.append(time.monotonic() - float(at))
        if int(number) != self.last.get(speaker, 0) + 1:
            self.faults.append(f"{speaker} {number} after {self.last.get(speaker, 0)}")
        self.last[speaker] = int(number)


class Speaker:
    """A client that says texts with their time.

    Attributes:
        name: of the user.
        ear: hears what others say.
        said: how many texts it has said.
    """

    def __init__(self, name: str, room: str):
        self.name, self.room = name, room
        self.ear = Ear()
        self.said = 0

    def speak(self) -> None:
        """Say the next text."""
        self.said += 1
        self.say(f"{MARK} {time.monotonic()} {self.name} {self.said}")

    def say(self, text: str) -> None:
        """Say a text in the room."""
        raise NotImplementedError

    async def close(self) -> None:
        """Disconnect."""
        raise NotImplementedError


class Lines(Speaker, asyncio.Protocol):
    """A client of lines: of netcat's front end, or of IRC."""

    is_irc = False

    def __init__(self, name: str, room: str):
        super().__init__(name, room)
        self.is_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        """Log in."""
        self.transport = transport
        lines = [self.name, PASSWORD]
        if self.is_irc:
            lines = [f"PASS {PASSWORD}", f"NICK {self.name}", "USER x 0 * :x", f"JOIN {self.room}"]
        transport.write("".join(f"{line}\r\n" for line in lines).encode())

    def data_received(self, data: bytes) -> None:
        """Take lines."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if MARK.encode() in line:
                self.ear.hear(line.decode())
            elif b" 366 " in line or line.startswith(b"you are in"):
                self.is_in.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail, if it is not in yet."""
        if not self.is_in.done():
            self.is_in.set_exception(error or ConnectionResetError("disconnected"))

    def say(self, text: str) -> None:
        """Say a text in the room."""
        start = f"PRIVMSG {self.room} :" if self.is_irc else ""
        self.transport.write(f"{start}{text}\r\n".encode())

    async def close(self) -> None:
        """Disconnect."""
        self.transport.abort()


class IRC(Lines):
    """A client of IRC."""

    is_irc = True


class PB(Speaker, broker.Referenceable):
    """A client of PB."""

    connection: broker.Connection

    def remote_heard(self, event: str, room: str, who: str, text: str) -> None:
        """Hear an event."""
        if event == "said":
            self.ear.hear(text)

    def say(self, text: str) -> None:
        """Say a text in the room."""
        self.connection.avatar.send("say", self.room, text)

    async def close(self) -> None:
        """Disconnect."""
        await self.connection.close()


async def connected(door: str, name: str, room: str, where: dict[str, str]) -> Speaker:
    """Connect by a front end, log in, and go into the room; lines have ``#lobby`` only."""
    if door in ("pb", "pb_plain", "twisted"):
        client = PB(name, room)
        policy = broker.STRICT.but(dialects=("pb",)) if door == "twisted" else broker.STRICT
        client.connection = await broker.connect(
            where["pb" if door == "pb" else "pb_plain"],
            UsernamePassword(name, PASSWORD),
            mind=client,
            tls=broker.TLS.client(ca=where["ca"]) if door == "pb" else None,
            policy=policy,
        )
        client.room_view = await client.connection.avatar.callRemote("join", room)  # type: ignore[attr-defined]
        return client
    host, _, port = where[door].rpartition(":")
    tls = ssl.create_default_context(cafile=where["ca"]) if door == "ircs" else None
    kind = Lines if door == "lines" else IRC
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: kind(name, room), host, int(port), ssl=tls)
    await made.is_in
    return made
