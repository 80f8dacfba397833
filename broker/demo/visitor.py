"""A client's objects: what a visitor of the box office hands over, and what arrives there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import broker
from broker.demo.contract import BOARD, SEAT, THANKS

__all__ = ["Bell", "Ear", "FollowedBoard", "MySeat", "Visitor"]


@dataclass
class MySeat(broker.RemoteCopy):
    """What a seat of the office becomes here."""

    row: str
    number: int

    def __str__(self) -> str:
        return f"{self.row}{self.number}"


class FollowedBoard(broker.RemoteCache):
    """The office's board, as it is at the moment.

    Attributes:
        free: seats.
        changes: what ``free`` became, each time that it changed.
    """

    free: int

    def setCopyableState(self, state: Any) -> None:
        """Take over the board as it was when it was sent."""
        super().setCopyableState(state)
        self.changes: asyncio.Queue[int] = asyncio.Queue()

    def observe_free(self, free: int) -> None:
        """Follow a change."""
        self.free = free
        self.changes.put_nowait(free)


broker.register(MySeat, SEAT)
broker.register(FollowedBoard, BOARD)


class Bell(broker.Referenceable):
    """Something that the office can ring."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def remote_ring(self, why: str) -> str:
        """Ring, and say thanks."""
        self.rung.append(why)
        return THANKS


class Ear(broker.Referenceable):
    """What a visitor is known by to the office: the mind of the login."""

    def __init__(self) -> None:
        self.announcements: asyncio.Queue[str] = asyncio.Queue()

    def remote_heard(self, announcement: str) -> None:
        """Take an announcement."""
        self.announcements.put_nowait(announcement)


class Visitor:
    """One client program.

    Attributes:
        ear: hears what is announced.
        connection: None until ``enter``.
    """

    def __init__(self, address: str, authority: Path):
        self.ear = Ear()
        self.connection: broker.Connection | None = None
        self._address = address
        self._tls = broker.TLS.client(ca=authority)

    async def enter(self, credentials: Any) -> broker.Connection:
        """Connect and log in."""
        self.connection = await broker.connect(
            self._address, credentials, mind=self.ear, tls=self._tls
        )
        return self.connection

    @property
    def avatar(self) -> broker.RemoteReference:
        """What the login yielded.

        Raises:
            RuntimeError: there was none.
        """
        if self.connection is None:
            raise RuntimeError("this visitor has not entered yet")
        return self.connection.avatar

    async def leave(self) -> None:
        """Disconnect, if connected."""
        if self.connection is not None:
            await self.connection.close()
