"""The server's objects: a box office, with an avatar for members and a smaller one for guests."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass
from typing import Any

import broker
from broker.demo.contract import ANNOUNCEMENT, BOARD, CALL, LOGINS, SEAT, SoldOut, Till
from cred.checkers import ANONYMOUS, AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from cred.portal import Portal

__all__ = ["Board", "Guest", "Member", "Office", "Reservation", "Seat"]


@dataclass
class Seat(broker.Copyable):
    """A seat; visitors get copies."""

    row: str
    number: int

    def getTypeToCopy(self) -> str:
        """Return the tag under which visitors register their own class."""
        return SEAT


class Board(broker.Cacheable):
    """The number of free seats; visitors have a cache of it."""

    def __init__(self, free: int):
        self.free = free
        self._observers = broker.Subscribers()

    def getTypeToCopy(self) -> str:
        """Return the tag under which visitors register their own class."""
        return BOARD

    def getStateToCacheAndObserveFor(self, perspective: object, observer: Any) -> dict[str, int]:
        """Return the state of the board, and notify ``observer`` of changes from now on."""
        self._observers.add(observer)
        return {"free": self.free}

    def sell(self, seats: int) -> None:
        """Subtract sold seats from the board."""
        self.free -= seats
        self._observers.send("free", self.free)


class Reservation(broker.Referenceable):
    """A seat that is reserved as long as a client holds the reference to this object."""

    def __init__(self, seat: Seat):
        self.seat = seat

    def remote_seat(self) -> Seat:
        """Return the reserved seat."""
        return self.seat


@broker.implements(Till)
class Guest(broker.Avatar):
    """The methods for every visitor."""

    def __init__(self, office: Office):
        self.office = office

    def perspective_who_am_i(self) -> tuple[str | None, str | None]:
        """Return the caller's user name, and the mechanism of the login."""
        peer = broker.current_call().peer
        return peer.avatar_id, peer.mechanism

    def perspective_price(self, seats: int) -> int:
        """Return the price of some seats, in euros."""
        return 12 * seats


class Member(Guest):
    """Further methods for members."""

    async def perspective_call_me(self, bell: broker.RemoteReference) -> object:
        """Call the caller's bell, and return its answer."""
        return await bell.callRemote("ring", CALL)

    def perspective_best_seat(self) -> Seat:
        """Return the best seat."""
        return Seat("C", 7)

    def perspective_buy(self, row: str) -> None:
        """Buy a seat in a row.

        Raises:
            SoldOut: always; it is a popular play.
        """
        raise SoldOut(f"row {row} is sold out")

    def perspective_open_doors(self) -> None:
        """Announce to all visitors that the doors are open."""
        self.office.audience.send("heard", ANNOUNCEMENT)

    def perspective_board(self) -> Board:
        """Return the board, which the caller gets as a cache."""
        return self.office.board

    def perspective_sell(self, seats: int) -> None:
        """Sell seats."""
        self.office.board.sell(seats)

    def perspective_reserve(self) -> Reservation:
        """Reserve a seat for as long as the caller holds the result."""
        return self.office.reserve(Seat("D", 4))


class Office:
    """The box office.

    Attributes:
        audience: the minds of all users who are logged in.
        board: the number of free seats.
        released: the seats whose reservations have been released.
        server: the running server; None before `open`.
    """

    def __init__(self) -> None:
        self.server: broker.Server | None = None
        self._tls: broker.TLS | None = None
        self.audience = broker.Subscribers()
        self.board = Board(40)
        self.released: asyncio.Queue[Seat] = asyncio.Queue()

    async def open(self, address: str, tls: broker.TLS) -> str:
        """Serve the office at an address, and return the real address."""
        self._tls = tls
        self.server = await broker.serve(self.portal(), address, tls=tls)
        return self.server.addresses[0]

    async def restart(self) -> int:
        """End the server with all connections, and serve again; return how many it had.

        Raises:
            RuntimeError: the office is not open.
        """
        if self.server is None or self._tls is None:
            raise RuntimeError("the office is not open")
        address, count = self.server.addresses[0], len(self.server.connections)
        await self.close()
        await self.open(address, self._tls)
        return count

    async def close(self) -> None:
        """End the server, if it runs."""
        if self.server is not None:
            await self.server.close(drain=0)

    def portal(self) -> Portal:
        """Return the portal to serve: alice has a password, all others are guests."""
        passwords = InMemoryUsernamePasswordDatabaseDontUse(**LOGINS)
        return Portal(broker.realm(self.admit), [passwords, AllowAnonymousAccess()])

    def admit(self, avatar_id: object, mind: broker.RemoteReference) -> Guest:
        """Return the avatar for a login."""
        self.audience.add(mind)
        return Guest(self) if avatar_id == ANONYMOUS else Member(self)

    def reserve(self, seat: Seat) -> Reservation:
        """Return a reservation that only the visitor keeps alive."""
        reservation = Reservation(seat)
        weakref.finalize(reservation, self.released.put_nowait, seat)
        return reservation
