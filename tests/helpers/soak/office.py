"""What the soaked server serves: calls of each kind, objects, copies, a cache and an event."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import broker
from broker import pb
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal

__all__ = ["Board", "Card", "Expected", "HeldBoard", "Office", "User", "portal_of"]


@broker.register
class Expected(broker.Error):
    """What a method here raises on purpose."""


@broker.register
@dataclasses.dataclass
class Card(broker.Copyable, broker.RemoteCopy):
    """What goes both ways by value."""

    name: str = ""
    lines: list[Any] = dataclasses.field(default_factory=list)


class Board(broker.Cacheable):
    """A number that those who hold the board are told of.

    Attributes:
        observers: who is told.
    """

    def __init__(self) -> None:
        self.observers: list[Any] = []
        self._number = 0

    def getTypeToCopy(self) -> str:
        """Return the tag."""
        return "soak.Board"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Remember who observes."""
        self.observers.append(observer)
        return {"number": self._number}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget who observed."""
        self.observers.remove(observer)

    def change(self) -> None:
        """Count, and tell."""
        self._number += 1
        for observer in list(self.observers):
            observer.callRemote("number", self._number).addErrback(_nothing)


class HeldBoard(broker.RemoteCache):
    """The other end of a Board."""

    number: int

    def observe_number(self, number: int) -> None:
        """Take the new number."""
        self.number = number


broker.register(HeldBoard, "soak.Board")
pb.setUnjellyableForClass("soak.Board", HeldBoard)


class _Desk(broker.Referenceable):
    """An object of which everybody gets one of their own."""

    def remote_work(self, *args: Any) -> Any:
        """Return the arguments."""
        return args


class Office:
    """What a root and an avatar both do.

    Attributes:
        board: the one that is handed out.
        subscribers: who is told of an event.
    """

    def __init__(self) -> None:
        self.board = Board()
        self.subscribers = broker.Subscribers()

    def echo(self, *args: Any) -> Any:
        """Return the arguments."""
        return args

    async def later(self, seconds: float) -> float:
        """Return after some time."""
        await asyncio.sleep(seconds)
        return seconds

    def desk(self) -> Any:
        """Return an object that stays here."""
        return _Desk()

    def copy(self, card: Card) -> Card:
        """Return a copy of a copy."""
        return Card(card.name, [*card.lines, "seen"])

    def hold(self) -> Board:
        """Return the board."""
        return self.board

    def change(self) -> None:
        """Change the board."""
        self.board.change()

    def subscribe(self, reference: Any) -> int:
        """Have a reference told of events."""
        self.subscribers.add(reference)
        return len(self.subscribers)

    def unsubscribe(self, reference: Any) -> None:
        """Have a reference told of nothing more."""
        self.subscribers.discard(reference)

    def shout(self, text: str) -> None:
        """Tell everybody."""
        self.subscribers.send("heard", text)

    async def call_back(self, reference: Any, times: int) -> int:
        """Call the peer's object a few times."""
        for number in range(times):
            await reference.callRemote("heard", str(number))
        return times

    def fail(self) -> None:
        """Raise."""
        raise Expected("on purpose")


_ACTS = [name for name in vars(Office) if not name.startswith("_")]


class Root(Office, broker.Root):
    """The office for everybody."""


class User(Office, broker.Avatar):
    """The office for whom has logged in."""


for _name in _ACTS:
    setattr(Root, f"remote_{_name}", getattr(Office, _name))
    setattr(User, f"perspective_{_name}", getattr(Office, _name))


def portal_of() -> Portal:
    """Return a portal where all share an office, and alice's password is known."""
    office = User()

    @broker.realm
    def realm(avatar_id: Any, mind: Any) -> User:
        return office

    return Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])


def _nothing(failure: Any) -> None:
    """A peer that has gone need not be told."""
