"""The network of Perspective Broker: the avatar's calls, and what the server tells our mind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import broker
from cred import UsernamePassword

# These register the errors and the rooms that come from the server.
from examples.chat import errors as errors
from examples.chat import room_view as room_view
from examples.chat.client.model import Event, Line

__all__ = ["PBNetwork"]

PATIENCE = 15.0
"""Seconds that a call may take."""

HEARD = frozenset({"said", "noticed", "joined", "left", "topic", "banner"})


class Ear(broker.Referenceable):
    """What the server calls."""

    def __init__(self, nick: str, heard: asyncio.Queue[Event]):
        self.nick, self.heard = nick, heard

    def remote_heard(self, event: str, room: str, who: str, text: str) -> None:
        """Something has happened; see `examples.chat.model`."""
        if event == "gone":
            self.heard.put_nowait(Event("stopped", text=text))
        elif event in HEARD:
            # What is said to us alone belongs to the conversation with the speaker.
            place = who if event in ("said", "noticed") and not room.startswith("#") else room
            self.heard.put_nowait(Event(event, place, who, text))


class PBNetwork:
    """A user of a chat server, by PB.

    Args:
        address: such as ``pbs://host:port``.
        nick, password: of the user.
        tls: settings of ``TLS.client``, for another authority than those of the system.
    """

    def __init__(self, address: str, nick: str, password: str, tls: broker.TLS | None = None):
        self._address, self._nick, self._tls = address, nick, tls
        self._credentials = UsernamePassword(nick, password)
        self._heard: asyncio.Queue[Event] = asyncio.Queue()
        self._connection: broker.Connection | None = None

    async def connect(self) -> None:
        """Connect and log in."""
        self._heard = asyncio.Queue()
        self._connection = None
        ear = Ear(self._nick, self._heard)
        self._connection = await broker.connect(
            self._address, self._credentials, mind=ear, tls=self._tls
        )
        self._heard.put_nowait(Event("banner", text=await self._call("banner")))

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens, until the connection ends."""
        connection, heard = self._connection, self._heard
        assert connection is not None
        watch = asyncio.create_task(_tell_end(connection, heard))
        try:
            while True:
                event = await heard.get()
                yield event
                if event.kind in ("offline", "stopped"):
                    return
        finally:
            watch.cancel()
            await connection.close()

    async def join(self, room: str) -> None:
        """Go into a room."""
        try:
            state = await self._call("join", room)
        except broker.Error as error:
            self._heard.put_nowait(Event("error", text=f"{room}: {error}"))
            return
        lines = tuple(Line(at, "said", who, text) for at, who, text in state.history)
        names = tuple(state.names)
        self._heard.put_nowait(Event("room", room, "", state.topic, names, lines))

    async def part(self, room: str) -> None:
        """Leave a room."""
        await self._call("part", room)

    async def say(self, where: str, text: str) -> None:
        """Say something in a room, or to a person."""
        await self._call("say", where, text)

    async def set_topic(self, room: str, text: str) -> None:
        """Set the topic of a room."""
        await self._call("topic", room, text)

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()

    async def _call(self, name: str, *arguments: Any) -> Any:
        assert self._connection is not None
        try:
            async with broker.timeout(PATIENCE):
                return await self._connection.avatar.callRemote(name, *arguments)
        except (OSError, broker.Error):
            raise
        except Exception as error:
            # Such as a RemoteError: a fault of the server is told as a refusal is.
            raise broker.Error(str(error)) from error


async def _tell_end(connection: broker.Connection, heard: asyncio.Queue[Event]) -> None:
    await connection.wait_closed()
    heard.put_nowait(Event("offline", text="the connection was lost"))
