"""The states of a link, and its readers, who get the newest one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

from msgspec import Struct

from broker.connection.connection import Connection

__all__ = ["Connected", "Connecting", "Failed", "Lost", "Moving", "State", "States"]


class Connecting(Struct, frozen=True):
    """The link will try to connect, after a delay.

    Attributes:
        attempt: 0 for the first attempt; counted from 1 after a connection that was healthy.
        delay: seconds before it.
        reason: the error that ended the attempt or the connection before, or None.
    """

    attempt: int
    delay: float
    reason: BaseException | None


class Connected(Struct, frozen=True):
    """Calls are made.

    Attributes:
        connection: the connection.
    """

    connection: Connection


class Lost(Struct, frozen=True):
    """The connection has ended; calls wait for the next one.

    Attributes:
        reason: the exception that ended it.
    """

    reason: BaseException


class Moving(Struct, frozen=True):
    """The server takes no more calls; the link connects to another one, or to this one later.

    Attributes:
        to: the address.
    """

    to: str


class Failed(Struct, frozen=True):
    """The link has ended.

    Attributes:
        error: why: an error that no other connection would repair, or that a task has raised.
    """

    error: BaseException


State: TypeAlias = Connecting | Connected | Lost | Moving | Failed
"""A state of a link."""


class States:
    """The states of one link.

    Attributes:
        newest: the newest state, or None before the first.
        is_over: whether there will be no other.
    """

    def __init__(self) -> None:
        self.newest: State | None = None
        self.is_over = False
        self._number = 0
        self._readers: list[asyncio.Future[None]] = []

    def tell(self, state: State) -> None:
        """Set the newest state; ignored after the end."""
        if not self.is_over:
            self.newest = state
            self._number += 1
            self._wake()

    def end(self) -> None:
        """Let the readers end, after the newest state."""
        self.is_over = True
        self._wake()

    async def read(self) -> AsyncIterator[State]:
        """Yield the newest state, and each that follows; a slow reader misses some."""
        seen = 0
        while True:
            if self.newest is not None and seen != self._number:
                seen = self._number
                yield self.newest
            elif self.is_over:
                return
            else:
                waiter = asyncio.get_running_loop().create_future()
                self._readers.append(waiter)
                await waiter

    def _wake(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)
