"""A chat with users in memory and free ports, and a client that sends lines, for its tests."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import partial
from typing import Any, Self

import broker
from cred import Identity, InMemoryUsernamePasswordDatabaseDontUse, UsernamePassword
from examples.chat.line_clients.connection import LinePort
from examples.chat.line_clients.irc import IRC
from examples.chat.line_clients.lines import PlainLines
from examples.chat.main import make_logins
from examples.chat.model import Listener, Town
from examples.chat.pace import Rate
from examples.chat.room_view import RoomView as RoomView

FAST = Rate(10_000, 1.0)
"""A rate that no test reaches."""

NAMES = ("alice", "bob", "carol", "dave")


def password_of(name: str) -> str:
    """The password of a user of these tests."""
    return f"{name} {name}"


class SmallChat:
    """A chat on 127.0.0.1: ``irc`` and ``lines`` are ports, ``pb`` is an address."""

    def __init__(self, rate: Rate = FAST, tls: broker.TLS | None = None, **more: str):
        self.town = Town(rate=rate)
        users = {name: password_of(name) for name in NAMES} | more
        self.logins = make_logins(self.town, InMemoryUsernamePasswordDatabaseDontUse(**users))
        self._tls = tls
        self._clients: list[Raw] = []

    async def __aenter__(self) -> Self:
        irc = partial(IRC, self.town, self.logins, "irc")
        lines = partial(PlainLines, self.town, self.logins, "lines")
        self._ports = [
            LinePort(irc, "127.0.0.1", 0, self._tls),
            LinePort(lines, "127.0.0.1", 0),
        ]
        self.irc, self.lines = (port.port for port in self._ports)
        self._server = await broker.serve(self.logins, "pb://127.0.0.1:0")
        self.pb = self._server.addresses[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        # A port waits until its clients have read the last line, and closed.
        closing = [asyncio.create_task(port.close()) for port in self._ports]
        await self._server.close()
        for client in self._clients:
            await client.close()
        await asyncio.gather(*closing)

    async def raw(self, port: int) -> Raw:
        """Connect to a port."""
        client = Raw(*await asyncio.open_connection("127.0.0.1", port))
        self._clients.append(client)
        return client

    async def irc_user(self, name: str, *rooms: str) -> Raw:
        """Connect by IRC, log in, and go into rooms."""
        client = await self.raw(self.irc)
        client.send(f"PASS :{password_of(name)}", f"NICK {name}", "USER x 0 * :x")
        await client.expect(r":\S+ 376 ")
        for room in rooms:
            client.send(f"JOIN {room}")
            await client.expect(r":\S+ 366 ")
        return client

    async def lines_user(self, name: str) -> Raw:
        """Connect by lines, and log in."""
        client = await self.raw(self.lines)
        client.send(name, password_of(name))
        await client.expect(r"you are in #lobby")
        return client

    async def pb_user(self, name: str, mind: Any = None) -> broker.Connection:
        """Connect by PB, and log in."""
        return await broker.connect(self.pb, UsernamePassword(name, password_of(name)), mind=mind)

    def fake(self, name: str) -> tuple[Any, list[tuple[str, ...]]]:
        """A guest without a front end, and what it hears."""
        heard: list[tuple[str, ...]] = []
        guest = self.town.enter(
            Identity(name), Listener(lambda *event: heard.append(event), "fake")
        )
        return guest, heard


class Raw:
    """A client that sends lines and reads them, as netcat does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    def send(self, *lines: str) -> None:
        """Send lines."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def expect(self, pattern: str) -> str:
        """Read up to a line that begins with the pattern; return that line."""
        read = []
        while line := await self.reader.readline():
            read.append(line.decode().removesuffix("\r\n"))
            if re.match(pattern, read[-1]):
                return read[-1]
        raise AssertionError(f"no line {pattern!r}, only {read}")

    async def rest(self) -> list[str]:
        """Read up to the end of the connection."""
        with suppress(ConnectionError):
            return (await self.reader.read()).decode().split("\r\n")[:-1]
        return []

    async def until(self, pattern: str) -> list[str]:
        """Read up to a line that begins with the pattern; return all lines before it."""
        read = []
        while line := await self.reader.readline():
            read.append(line.decode().removesuffix("\r\n"))
            if re.match(pattern, read[-1]):
                return read[:-1]
        raise AssertionError(f"no line {pattern!r}, only {read}")

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
