"""What the server of the TypeScript client's tests serves: one method for each capability."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import gc
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import broker
import cred
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal
from cred.error import UnauthorizedLogin
from cred.interfaces import IBearerToken
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User
from jelly.registry import defaults

__all__ = ["Member", "Office", "portal", "registered", "scram_portal"]


class Seat(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    row: str = ""
    number: int = 0


class Follower(broker.RemoteCache):
    """A cache of the client, which this server follows."""

    price: int = 0

    def observe_set(self, price: int) -> int:
        """Set the price."""
        self.price = price
        return price


class Gauge(broker.Cacheable):
    """A cache of this server."""

    def __init__(self) -> None:
        self.n = 40
        self.observers: list[Any] = []
        self.stopped = 0

    def getTypeToCopy(self) -> str:
        """Return the name on the wire."""
        return "office.Gauge"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, int]:
        """Return the number."""
        self.observers.append(observer)
        return {"n": self.n}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)
        self.stopped += 1


class Colour(Enum):
    """An Enum."""

    RED = "red"


class SoldOut(broker.Error):
    """An error with a field."""

    left: int


class Thing(broker.Referenceable):
    """An object of the server."""

    def __init__(self, office: Office):
        self.office = office

    def __del__(self) -> None:
        self.office.gone += 1

    def remote_hi(self) -> str:
        """Greet."""
        return "hi"

    def remote_double(self, number: int) -> int:
        """Return twice the number."""
        return 2 * number

    def remote_itself(self) -> Thing:
        """Return this object."""
        return self


class Office:
    """The state of the server."""

    def __init__(self) -> None:
        self.gauge = Gauge()
        self.gone = 0
        self.cancelled = 0
        self.closed = 0
        self.tokens = {"good": "tess"}

    def member(self, avatar_id: Any, mind: Any) -> Member:
        """Return the avatar of a user."""
        return Member(self, mind)


class Member(broker.Avatar):
    """The avatar."""

    def __init__(self, office: Office, mind: Any):
        self.office = office
        self.mind = mind
        self.kept: Any = None

    def perspective_whoami(self) -> list[str]:
        """Return the user and the mechanism."""
        peer = broker.current_call().peer
        return [str(peer.avatar_id), str(peer.mechanism)]

    def perspective_echo(self, *args: Any, **kw: Any) -> Any:
        """Return the argument, or all arguments."""
        return args[0] if len(args) == 1 and not kw else (args, kw)

    def perspective_shown(self, value: Any) -> str:
        """Return the value as Python shows it."""
        return repr(value)

    def perspective_same(self, one: Any, other: Any) -> bool:
        """Return whether both are one object."""
        return one is other

    async def perspective_ring(self, bell: Any, times: int) -> list[Any]:
        """Call the object."""
        return [await bell.callRemote("ring", i) for i in range(times)]

    async def perspective_fault(self, reference: Any, method: str) -> list[Any]:
        """Return the type and the text of the error of a method."""
        try:
            return [None, await reference.callRemote(method)]
        except Exception as error:
            return [getattr(error, "remoteType", type(error).__name__), str(error)]

    async def perspective_late(self, reference: Any) -> str:
        """Call the object with a deadline, and return the error."""
        try:
            async with broker.timeout(0.05):
                await reference.callRemote("wait")
        except TimeoutError as error:
            return type(error).__name__
        return "in time"

    def perspective_seat(self) -> Seat:
        """Return a copy."""
        seat = Seat()
        seat.row, seat.number = "C", 7
        return seat

    def perspective_take(self, seat: Any) -> list[Any]:
        """Return what the copy has."""
        return [type(seat).__name__, seat.row, seat.number]

    def perspective_gauge(self) -> Gauge:
        """Return the cache."""
        return self.office.gauge

    def perspective_is_gauge(self, gauge: Any) -> bool:
        """Return whether it is the cache."""
        return gauge is self.office.gauge

    def perspective_set(self, n: int) -> None:
        """Tell all who follow the cache."""
        self.office.gauge.n = n
        for observer in self.office.gauge.observers:
            observer.callRemote("n", n)

    def perspective_counts(self) -> dict[str, int]:
        """Return how many objects are gone, and so on."""
        gc.collect()
        gauge = self.office.gauge
        return {
            "gone": self.office.gone,
            "cancelled": self.office.cancelled,
            "closed": self.office.closed,
            "observers": len(gauge.observers),
            "stopped": gauge.stopped,
        }

    def perspective_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept = value

    def perspective_kept_price(self) -> int:
        """Return the price of the cache that is kept."""
        return int(self.kept.price)

    def perspective_kept(self) -> Any:
        """Return what is kept."""
        return self.kept

    def perspective_thing(self) -> Thing:
        """Return an object."""
        return Thing(self.office)

    async def perspective_slow_thing(self) -> list[Thing]:
        """Return an object later, in a list."""
        await asyncio.sleep(0.02)
        return [Thing(self.office)]

    def perspective_sold(self) -> None:
        """Raise an error of the application."""
        raise SoldOut("row A", left=2)

    def perspective_bug(self) -> float:
        """Raise an error whose text is not shown."""
        return 1 / 0

    async def perspective_wait(self) -> None:
        """Wait until the call is cancelled."""
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.office.cancelled += 1
            raise

    async def perspective_count(self, most: int) -> AsyncIterator[int]:
        """Make numbers."""
        try:
            for number in range(most):
                yield number
        finally:
            self.office.closed += 1

    async def perspective_pieces(self, times: int, size: int) -> AsyncIterator[bytes]:
        """Make pieces of bytes."""
        for number in range(times):
            yield bytes([number % 256]) * size

    async def perspective_seats(self) -> AsyncIterator[Any]:
        """Make values that are not plain, and fail."""
        yield self.perspective_seat()
        yield (1, 2)
        raise SoldOut("no more", left=0)

    async def perspective_total(self, numbers: Any) -> int:
        """Add the items of a stream."""
        return sum([number async for number in numbers])

    async def perspective_length(self, pieces: Any) -> list[int]:
        """Return the size of a stream, and the length of all its pieces."""
        return [pieces.size, sum([len(each) async for each in pieces])]

    async def perspective_first(self, items: Any) -> Any:
        """Return the first item, and stop the stream."""
        async with items:
            return await anext(items)

    async def perspective_all(self, items: Any) -> list[Any]:
        """Return all items."""
        found = []
        try:
            async for item in items:
                found.append(item)
        except Exception as error:
            found.append(str(error))
        return found

    def perspective_tell(self, times: int) -> None:
        """Send events to the mind."""
        for i in range(times):
            self.mind.send("event", i)

    async def perspective_meta(self) -> dict[str, str]:
        """Return the colour, and wait for nothing."""
        return {"colour": Colour.RED.value}

    def perspective_colour(self) -> Colour:
        """Return a member of an Enum."""
        return Colour.RED

    def perspective_values(self) -> list[Any]:
        """Return one value of each type."""
        shared = [1]
        cycle: Any = ([],)
        cycle[0].append(cycle)
        zone = datetime.timezone(datetime.timedelta(hours=2))
        return [
            None,
            True,
            1,
            4.0,
            2.5,
            2**53 + 1,
            -(2**63),
            2**100,
            "é\U0001f600",
            b"\x00\xff",
            (1, 2),
            {1: "a"},
            {"a": 1},
            {1, 2},
            frozenset([3]),
            datetime.date(2001, 2, 3),
            datetime.datetime(2001, 2, 3, 4, 5, 6, 7),
            datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=zone),
            datetime.timedelta(-1, 5),
            decimal.Decimal("3.140"),
            uuid.UUID(int=1),
            [shared, shared],
            cycle,
            {"__proto__": 1, "constructor": 2},
        ]


class _Tokens:
    """A checker of tokens."""

    credentialInterfaces = (IBearerToken,)

    def __init__(self, office: Office):
        self._office = office

    def requestAvatarId(self, credentials: Any) -> str:
        """Return the user of a token."""
        try:
            return self._office.tokens[credentials.token]
        except KeyError:
            raise UnauthorizedLogin from None


def scram_portal(office: Office, folder: Path) -> Portal:
    """Return a portal for guests, and for alice by SCRAM; its store is in a folder."""
    store = open_store(f"file:{folder / 'users.db'}", create=True)
    store.add(User("alice", str(ScramVerifier.of_password("wönderland"))))
    return Portal(broker.realm(office.member), [StoreChecker(store), cred.AllowAnonymousAccess()])


def portal(office: Office) -> Portal:
    """Return a portal for guests, for bob by a plain password, and for a token."""
    users = InMemoryUsernamePasswordDatabaseDontUse(bob="builder")
    checkers = [cred.AllowAnonymousAccess(), users, _Tokens(office)]
    return Portal(broker.realm(office.member), checkers)


@contextmanager
def registered() -> Iterator[None]:
    """Register the classes; undo it afterwards."""
    copies = {"office.Seat": Seat, "office.Follower": Follower}
    for name, cls in copies.items():
        broker.register(cls, name)
    broker.register(SoldOut, "office.SoldOut")
    broker.register(Colour, "office.Colour")
    try:
        yield
    finally:
        for name in copies:
            del defaults.declared.classes[name.encode()]
        del defaults.declared.errors["office.SoldOut"]
        del defaults.declared.factories[b"office.Colour"], defaults.declared.forms[Colour]
