"""A small application for the tests of the test kit: a club with members, and a root without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import broker
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

__all__ = ["DIALECTS", "Board", "CachedBoard", "Club", "Member", "Thing", "club_portal"]

DIALECTS = ("msgpack/1", "pb")


class Thing(broker.Referenceable):
    """Something that stays on its side."""

    def remote_ping(self) -> str:
        """Answer."""
        return "pong"


class Board(broker.Cacheable):
    """Something whose state is followed."""

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.CachedBoard"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, Any]:
        """Send the state."""
        self.observers.append(observer)
        return {"text": "hello"}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget an observer."""
        self.observers.remove(observer)


@broker.register
class CachedBoard(broker.RemoteCache):
    """The other side of a Board."""

    text: str


class Club(broker.Root):
    """Methods that return, raise, wait, keep and stream."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.stopped: list[str] = []
        self.total = 0
        self.gate = asyncio.Event()

    def remote_echo(self, value: Any = None, *, key: Any = None) -> Any:
        """Return the argument."""
        return value if key is None else [value, key]

    def remote_pay(self, amount: int) -> int:
        """Take money."""
        self.total += amount
        return self.total

    def remote_keep(self, value: Any) -> None:
        """Keep the argument."""
        self.kept.append(value)

    def remote_forget(self) -> None:
        """Keep nothing."""
        self.kept.clear()

    def remote_thing(self) -> Thing:
        """Return something of this side."""
        return Thing()

    def remote_board(self) -> Board:
        """Return something to follow."""
        board = Board()
        self.kept.append(board)
        return board

    def remote_fail(self) -> None:
        """Raise."""
        raise broker.Error("no")

    async def remote_wait(self) -> str:
        """Wait until the gate is open."""
        await self.gate.wait()
        return "open"

    async def remote_sleep(self, seconds: float) -> float:
        """Sleep, and return the time that it took on the clock of the loop."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(seconds)
        return loop.time() - begun

    async def remote_count(self) -> AsyncIterator[int]:
        """Count without an end."""
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self.stopped.append("count")


class Member(broker.Avatar):
    """A member of the club."""

    def __init__(self, name: Any = "", mind: Any = None):
        self.name = name
        self.mind = mind
        self.logouts = 0

    def perspective_whoami(self) -> Any:
        """Return what is known of the caller."""
        peer = broker.current_call().peer
        return [peer.avatar_id, sorted(peer.groups), peer.mechanism]

    @broker.allow("admins")
    def perspective_delete(self, number: int) -> int:
        """Delete something; for admins."""
        return number

    async def perspective_call_back(self) -> Any:
        """Call the mind."""
        return await self.mind.callRemote("ping")

    def logout(self) -> None:
        """Count."""
        self.logouts += 1


def club_portal(members: list[Member] | None = None) -> Portal:
    """A portal of members, for the password ``secret`` of alice."""

    def enter(avatar_id: Any, mind: Any) -> Member:
        member = Member(avatar_id, mind)
        if members is not None:
            members.append(member)
        return member

    return Portal(broker.realm(enter), [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
