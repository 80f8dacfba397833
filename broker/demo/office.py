"""The server's objects: a box office, with an avatar for members and a smaller one for guests."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from typing import Any

import broker
from broker.demo.contract import ANNOUNCEMENT, BOARD, CALL, LOGINS, SEAT, SoldOut
from cred.checkers import ANONYMOUS, AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

__all__ = ["Board", "Guest", "Member", "Office", "Reservation", "Seat"]


@dataclass
class Seat(broker.Copyable):
    """A seat; visitors get copies."""

    row: str
    number: int

    def getTypeToCopy(self) -> str:
        """Return the tag that visitors register their own class for."""
        return SEAT


class Board(broker.Cacheable):
    """How many seats are free; visitors follow it."""

    def __init__(self, free: int):
        self.free = free
        self._observers = broker.Subscribers()

    def getTypeToCopy(self) -> str:
        """Return the tag that visitors register their own class for."""
        return BOARD

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, int]:
        """Return what is on the board, and tell ``observer`` from now on."""
        self._observers.add(observer)
        return {"free": self.free}

    def sell(self, seats: int) -> None:
        """Take seats off the board."""
        self.free -= seats
        self._observers.send("free", self.free)


class Reservation(broker.Referenceable):
    """A seat kept for whoever holds the reference to this."""

    def __init__(self, seat: Seat):
        self.seat = seat

    def remote_seat(self) -> Seat:
        """Return which seat is kept."""
        return self.seat


class Guest(broker.Avatar):
    """What anybody may do."""

    def __init__(self, office: Office):
        self.office = office

    def perspective_who_am_i(self) -> tuple[str | None, str | None]:
        """Return whom the caller has logged in as, and how."""
        peer = broker.current_call().peer
        return peer.avatar_id, peer.mechanism

    def perspective_price(self, seats: int) -> int:
        """Return the price of some seats, in euros."""
        return 12 * seats


class Member(Guest):
    """What members may do besides."""

    async def perspective_call_me(self, bell: Any) -> Any:
        """Ring the caller's bell, and return what it answers."""
        return await bell.callRemote("ring", CALL)

    def perspective_best_seat(self) -> Seat:
        """Return the best seat of the house."""
        return Seat("C", 7)

    def perspective_buy(self, row: str) -> None:
        """Buy a seat in a row.

        Raises:
            SoldOut: always; it is a popular play.
        """
        raise SoldOut(f"row {row} is sold out")

    def perspective_open_doors(self) -> None:
        """Announce to everybody that they may come in."""
        self.office.audience.send("heard", ANNOUNCEMENT)

    def perspective_board(self) -> Board:
        """Return the board, to be followed."""
        return self.office.board

    def perspective_sell(self, seats: int) -> None:
        """Sell seats."""
        self.office.board.sell(seats)

    def perspective_reserve(self) -> Reservation:
        """Keep a seat for as long as the caller holds the result."""
        return self.office.reserve(Seat("D", 4))


class Office:
    """The box office.

    Attributes:
        audience: the minds of all who are logged in.
        board: how many seats are free.
        released: the seats whose reservations have been let go.
    """

    def __init__(self) -> None:
        self.audience = broker.Subscribers()
        self.board = Board(40)
        self.released: asyncio.Queue[Seat] = asyncio.Queue()

    def portal(self) -> Portal:
        """Return what to serve: alice has a password, everybody else is a guest."""
        passwords = InMemoryUsernamePasswordDatabaseDontUse(**LOGINS)
        return Portal(broker.realm(self.admit), [passwords, AllowAnonymousAccess()])

    def admit(self, avatar_id: Any, mind: Any) -> Guest:
        """Return the avatar of somebody who has been let in."""
        self.audience.add(mind)
        return Guest(self) if avatar_id == ANONYMOUS else Member(self)

    def reserve(self, seat: Seat) -> Reservation:
        """Return a reservation that nobody but the visitor keeps alive."""
        reservation = Reservation(seat)
        weakref.finalize(reservation, self.released.put_nowait, seat)
        return reservation
