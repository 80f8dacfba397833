"""A client's objects: those that a visitor of the box office sends, and those that it receives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import broker
from broker.demo.contract import BOARD, SEAT, THANKS

__all__ = ["Bell", "Ear", "FollowedBoard", "MySeat", "Visitor"]


@dataclass
class MySeat(broker.RemoteCopy):
    """The visitor's class for a seat of the office."""

    row: str
    number: int

    def __str__(self) -> str:
        return f"{self.row}{self.number}"


class FollowedBoard(broker.RemoteCache):
    """A cache of the board, with its current state.

    Attributes:
        free: the number of free seats.
        changes: the value of ``free`` after each change.
    """

    free: int

    def setCopyableState(self, state: dict[str, object]) -> None:
        """Set the state of the board at the time it was sent."""
        super().setCopyableState(state)
        self.changes: asyncio.Queue[int] = asyncio.Queue()

    def observe_free(self, free: int) -> None:
        """Apply a change."""
        self.free = free
        self.changes.put_nowait(free)


broker.register(MySeat, SEAT)
broker.register(FollowedBoard, BOARD)


class Bell(broker.Referenceable):
    """A bell that the office can ring."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def remote_ring(self, why: str) -> str:
        """Ring, and return thanks."""
        self.rung.append(why)
        return THANKS


class Ear(broker.Referenceable):
    """The mind of the login, through which the office reaches a visitor."""

    def __init__(self) -> None:
        self.announcements: asyncio.Queue[str] = asyncio.Queue()

    def remote_heard(self, announcement: str) -> None:
        """Receive an announcement."""
        self.announcements.put_nowait(announcement)


class Visitor:
    """One client program.

    Attributes:
        ear: receives announcements.
        connection: None before ``enter``.
        link: None before ``stay``.
    """

    def __init__(self, address: str, authority: Path):
        self.ear = Ear()
        self.connection: broker.Connection | None = None
        self.link: broker.Link | None = None
        self._address = address
        self._tls = broker.TLS.client(ca=authority)

    async def enter(self, credentials: object) -> broker.Connection:
        """Connect and log in."""
        self.connection = await broker.connect(
            self._address, credentials, mind=self.ear, tls=self._tls
        )
        return self.connection

    async def stay(self, credentials: object) -> broker.Link:
        """Make a link, which stays connected."""
        self.link = broker.Link(
            self._address,
            credentials,
            mind=self.ear,
            tls=self._tls,
            retry=broker.Retry(first=0.1),
        )
        await self.link.__aenter__()
        return self.link

    @property
    def avatar(self) -> broker.RemoteReference:
        """The avatar from the login.

        Raises:
            RuntimeError: there was no login.
        """
        if self.connection is None:
            raise RuntimeError("this visitor has not logged in yet")
        return self.connection.avatar

    async def leave(self) -> None:
        """Disconnect, if connected."""
        if self.link is not None:
            await self.link.close()
        if self.connection is not None:
            await self.connection.close()
