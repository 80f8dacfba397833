"""Classes in the published style with a contract: faults when they are made, checks when called."""

# ruff: noqa: D103 - contracts and methods without a purpose of their own

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from support.ticket_office import (
    DIALECTS,
    Colour,
    Ear,
    Listener,
    Room,
    Seat,
    TheRoom,
    TicketOffice,
    connected,
)
from zope.interface.verify import verifyObject

import broker
from broker.defer import Deferred, succeed
from cred import InMemoryUsernamePasswordDatabaseDontUse, Portal, UsernamePassword

ALICE = UsernamePassword("alice", "secret")


class Till(Protocol):
    """One method of each kind of fault."""

    async def pay(self, euros: int, /, note: str, *, cents: int | None = 0) -> int | str:
        """Pay."""


def fault_of(make: Callable[[], object]) -> str:
    """Return the text of the fault of a class."""
    with pytest.raises(broker.ConfigError) as caught:
        make()
    return str(caught.value)


def with_pay(function: Any) -> Callable[[], object]:
    """Return a function that makes a class with a method."""

    def make() -> object:
        cls = type("User", (broker.Avatar,), {"perspective_pay": function})
        return broker.implements(Till)(cls)

    return make


async def fits(self: Any, euros: int, /, note: str, *, cents: int | None = 0) -> int | str:
    return 1


async def bare(self, euros, note, cents=0):  # type: ignore[no-untyped-def]
    return 1


def plain(self: Any, euros: int, note: str, cents: int | None = 0, more: int = 0) -> int:
    return 1


def wider(self: Any, euros: int | float, note: Any, cents: int | str | None = 0) -> Any:
    return 1


def deferred(self: Any, euros: int, note: str, *, cents: int | None = 0) -> Deferred[int]:
    return succeed(1)


def awaitable(self: Any, euros: int, note: str, *, cents: int | None = 0) -> Awaitable[int]:
    return succeed(1)


@pytest.mark.parametrize("function", [fits, bare, plain, wider, deferred, awaitable])
def test_what_fits(function: Any) -> None:
    """The same, no annotations, a plain method, wider parameters, a narrower result."""
    made: Any = with_pay(function)()
    assert made.perspective_pay is function


async def no_row(self: Any, euros: int, note: str) -> int: ...  # type: ignore[empty-body]
async def no_default(self: Any, euros: int, note: str, *, cents: int | None) -> int: ...  # type: ignore[empty-body]
async def keyword(self: Any, euros: int, *, note: str, cents: int | None = 0) -> int: ...  # type: ignore[empty-body]
async def moved(self: Any, note: str, euros: int, *, cents: int | None = 0) -> int: ...  # type: ignore[empty-body]
async def other(self: Any, euros: str, note: str, *, cents: int | None = 0) -> int: ...  # type: ignore[empty-body]
async def narrower(self: Any, euros: int, note: str, *, cents: int = 0) -> int: ...  # type: ignore[empty-body]
async def result(self: Any, euros: int, note: str, *, cents: int | None = 0) -> float: ...  # type: ignore[empty-body]
async def more(self: Any, euros: int, note: str, x: int, *, cents: int | None = 0) -> int: ...  # type: ignore[empty-body]
async def undefined(self: Any, euros: Nothing, note: str, *, cents: int = 0) -> int: ...  # type: ignore[empty-body, name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (no_row, "perspective_pay has no parameter 'cents'"),
        (no_default, "perspective_pay: 'cents' has no default, and has one in Till"),
        (
            keyword,
            "perspective_pay: 'note' is keyword-only, and positional or keyword in Till",
        ),
        (moved, "perspective_pay: 'euros' has another place than in Till"),
        (other, "perspective_pay: 'euros' is str, and int in Till"),
        (narrower, "perspective_pay: 'cents' is int, and int | None in Till"),
        (result, "perspective_pay returns float, and int | str in Till"),
        (
            more,
            "perspective_pay has the parameter 'x' without a default, which Till does not declare",
        ),
        (undefined, "perspective_pay: 'Nothing' is not defined"),
    ],
)
def test_faults(function: Any, text: str) -> None:
    """They are told in words when the class is made."""
    assert fault_of(with_pay(function)) == f"User: {text}"


def test_a_missing_method() -> None:
    """It is named with its prefix."""

    def make() -> object:
        @broker.implements(Till)
        class User(broker.Referenceable):
            def perspective_pay(self) -> None: ...

        return User

    assert fault_of(make) == "User has no method 'remote_pay', which Till declares"


def test_a_class_that_exposes_nothing() -> None:
    """A plain class is for a servant."""

    def make() -> object:
        @broker.implements(Till)
        class User:
            pass

        return User

    assert fault_of(make) == (
        "User is not an Avatar, a Viewable or a Referenceable: make an object of it a servant,"
        " with broker.servant(Till)(…)"
    )


@broker.implements(TicketOffice)
class User(broker.Avatar):
    """An avatar with a contract, in the published style."""

    def __init__(self, name: Any, mind: Any):
        self.name = name

    async def perspective_reserve(
        self, seats: int, *, row: str = "A", colour: Colour = Colour.RED
    ) -> list[Seat]:
        """Reserve."""
        assert isinstance(colour, Colour)
        return [Seat(row, number) for number in range(seats)]

    def perspective_room(self, name: str, listener: Listener) -> Room:
        """Enter."""
        return TheRoom(listener)

    def perspective_same(self, one: Any, other: Any) -> bool:
        """Compare."""
        return bool(one == other)

    def perspective_sold(self, seat: Seat) -> str:
        """Tell the row."""
        return seat.row

    def perspective_wrong(self) -> Any:
        """Break the contract."""
        return "x"

    def perspective_beside(self) -> str:
        """Is not in the contract, and exposed by its prefix."""
        return "beside"


class Member(User):
    """Overrides a method; the contract holds for it too."""

    @broker.allow("staff")
    def perspective_wrong(self) -> Any:
        """For the staff."""
        return 1

    def perspective_sold(self, seat: Seat) -> Any:
        """Return a wrong result."""
        return 3


def portal(avatar: Any) -> Portal:
    """Return a portal of one class of avatars."""
    return Portal(broker.realm(avatar), [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_calls(dialect: str) -> None:
    """Arguments are converted and checked, results too; local calls are not touched."""
    async with connected(portal(User), dialect, ALICE) as connection:
        office: Any = connection.avatar.of(TicketOffice)
        ear = Ear()
        assert await office.reserve(1, colour=Colour.BLUE) == [Seat("A", 0)]
        assert await office.sold(Seat("B", 1)) == "B"
        assert await office.room("x", ear).say("hi") == 1
        assert await ear.heard_texts.get() == "HI"
        call = connection.avatar.callRemote
        assert await call("beside") == "beside"
        with pytest.raises(broker.WrongArguments, match="sold: seat: Expected `object`, got `int`"):
            await call("sold", 3)
        with pytest.raises(broker.RemoteError, match="internal error"):
            await call("wrong")
    assert User("alice", None).perspective_wrong() == "x"


async def test_a_subclass() -> None:
    """Its methods are checked by the contract of its base, with their own conditions."""
    async with connected(portal(Member), credentials=ALICE) as connection:
        call = connection.avatar.callRemote
        with pytest.raises(Exception, match="you may not call 'wrong'"):
            await call("wrong")
        with pytest.raises(broker.RemoteError, match="internal error"):
            await call("sold", {"row": "A", "number": 1})


@broker.implements(Till)
class Shared(broker.Viewable):
    """A Viewable: its methods get the perspective."""

    def view_pay(self, perspective: Any, euros: int, note: str, cents: int | None = 0) -> str:
        """Tell who pays."""
        return f"{perspective.name} pays {euros}"


class Viewer(broker.Avatar):
    """Hands out the Viewable."""

    def __init__(self, name: Any, mind: Any):
        self.name = name

    def perspective_till(self) -> Any:
        """Return the shared object."""
        return SHARED


SHARED = Shared()


async def test_a_viewable() -> None:
    """A proxy keeps the perspective of its reference."""
    async with connected(portal(Viewer), credentials=ALICE) as connection:
        reference: Any = await connection.avatar.callRemote("till")
        assert await reference.of(Till).pay(3, "x") == "alice pays 3"
        with pytest.raises(broker.WrongArguments, match="pay: euros: Expected `int`, got `str`"):
            await reference.callRemote("pay", "3", "x")
        with pytest.raises(broker.WrongArguments, match="missing 1 required positional"):
            await reference.callRemote("pay", 3)


async def test_dynamic_methods_are_ignored() -> None:
    """A class with a contract has no other methods than those of its class."""

    @broker.implements(Listener)
    class Open(broker.Root):
        def remote_heard(self, text: str) -> None: ...

        def __getattr__(self, name: str) -> Any:
            if name.startswith("remote_"):
                return lambda: "found"
            raise AttributeError(name)

    dynamic = broker.STRICT.but(dynamic_methods=True)
    async with (
        broker.serve(Open(), "pb://127.0.0.1:0", policy=dynamic) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        with pytest.raises(broker.NoSuchMethod):
            await connection.root.callRemote("other")


def test_the_interface() -> None:
    """It is made once a contract, and declared by the class."""
    interface = broker.interface_of(TicketOffice)
    assert interface is broker.interface_of(TicketOffice)
    assert interface.providedBy(User("alice", None))
    assert not interface.providedBy(SHARED)
    assert broker.interface_of(Till).providedBy(SHARED)
    assert interface.__name__ == "TicketOffice"
    assert interface.__doc__ == "Sells seats."
    assert set(interface.names()) == {"reserve", "room", "same", "sold", "wrong"}
    assert interface["reserve"].getSignatureString() == "(seats)"

    class Office:
        def pay(self, euros: int, note: str) -> None: ...

    with pytest.raises(Exception, match="Till"):
        verifyObject(broker.interface_of(Till), Office())


def test_two_contracts() -> None:
    """A class may have several, given at once or one after the other."""

    @broker.implements(Listener)
    @broker.implements(Till)
    class Both(broker.Referenceable):
        def remote_pay(self, euros: int, note: str, *, cents: int | None = 0) -> int:
            return 1

        def remote_heard(self, text: str) -> None: ...

    both: Any = Both
    assert [contract.title for contract in both._broker_contracts] == ["Till", "Listener"]
