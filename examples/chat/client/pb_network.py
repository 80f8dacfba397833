"""The network of Perspective Broker: the avatar's calls, and what the server tells our mind.

A ``broker.Link`` keeps it connected: it logs in again, and its task goes into the rooms again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import broker
from broker.link import Connecting, Failed, Lost
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

    def __init__(self, nick: str, heard: asyncio.Queue[Event | None]):
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
        self._credentials: Any = UsernamePassword(nick, password)
        # None ends the events.
        self._heard: asyncio.Queue[Event | None] = asyncio.Queue()
        self._rooms: Sequence[str] = ()
        self._link: broker.Link | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def connect(self) -> None:
        """Connect and log in."""
        self.begin()
        try:
            await self._tasks[0]
        except BaseException:
            await self.close()
            raise

    def begin(self, rooms: Sequence[str] = ()) -> None:
        """Connect, and connect again whenever the connection has ended.

        Args:
            rooms: those to go into on each connection; it may change.
        """
        self._heard = asyncio.Queue()
        self._rooms = rooms
        self._link = link = broker.Link(
            self._address,
            self._credentials,
            mind=Ear(self._nick, self._heard),
            tls=self._tls,
            patience=PATIENCE,
        )
        link.task(self._come_in)
        self._tasks = [
            asyncio.create_task(link.__aenter__()),
            asyncio.create_task(self._tell_states(link)),
        ]

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens; the last event is ``stopped``, or ``offline`` after `close`."""
        heard = self._heard
        try:
            while (event := await heard.get()) is not None:
                yield event
                if event.kind == "stopped":
                    return
        finally:
            await self.close()

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
        link, self._link = self._link, None
        if link is None:
            return
        await link.close()
        here = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not here]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._heard.put_nowait(Event("offline", text="the connection was closed"))
        self._heard.put_nowait(None)

    async def _come_in(self, connection: broker.Connection) -> None:
        """Go into the rooms, on each connection."""
        self._heard.put_nowait(Event("online"))
        with suppress(OSError, broker.Error):
            self._heard.put_nowait(Event("banner", text=await self._call("banner")))
            for room in list(self._rooms):
                await self.join(room)

    async def _tell_states(self, link: broker.Link) -> None:
        async for state in link.states():
            if isinstance(state, Lost):
                self._heard.put_nowait(Event("offline", text="the connection was lost"))
            elif isinstance(state, Connecting) and state.reason is not None:
                self._heard.put_nowait(Event("offline", text=str(state.reason)))
            elif isinstance(state, Failed):
                self._heard.put_nowait(Event("stopped", text=str(state.error)))

    async def _call(self, name: str, *arguments: Any) -> Any:
        if self._link is None:
            raise broker.PBConnectionLost("not connected", may_have_run=False)
        try:
            async with broker.timeout(PATIENCE):
                return await self._link.avatar.callRemote(name, *arguments)
        except (OSError, broker.Error):
            raise
        except Exception as error:
            # Such as a RemoteError: a fault of the server is told as a refusal is.
            raise broker.Error(str(error)) from error
