"""Proxies: typed calls through a connection, in both dialects, and with untyped other ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any, Protocol

import pytest
from support.ticket_office import (
    DIALECTS,
    Colour,
    Ear,
    Listener,
    Office,
    Seat,
    TicketOffice,
    connected,
    office_of,
)

import broker
from broker.defer import CancelledError
from broker.flavors.contracts.proxy import Proxy

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


class Untyped(broker.Root):
    """The same methods without a contract; it notes what came."""

    def __init__(self) -> None:
        self.came: list[Any] = []
        self.kept: Any = None

    def remote_reserve(self, *args: Any, **kw: Any) -> Any:
        """Return the fields of a seat."""
        self.came.append((args, kw))
        return [{"row": "Z", "number": 1, "new": "ignored"}]

    def remote_sold(self, seat: Any) -> Any:
        """Return a wrong result."""
        self.came.append(seat)
        return 3

    def remote_same(self, one: Any, other: Any) -> bool:
        """Compare, and keep one."""
        self.kept = one
        return one == other

    def remote_me(self) -> Any:
        """Return an object of the server."""
        self.me = broker.Referenceable()
        return self.me

    def remote_wrong(self) -> int:
        """Return the kept listener's answer."""
        self.kept.send("heard", "untyped")
        return 1


async def test_a_call(dialect: str) -> None:
    """Arguments and results have their types at both ends."""
    office = Office()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        seats = await office_of(connection).reserve(2, row="B", colour=Colour.BLUE)
        assert seats == [Seat("B", 0), Seat("B", 1)]
        assert await office_of(connection).sold(Seat("C", 3)) == "C"


async def test_defaults_are_those_of_the_callee(dialect: str) -> None:
    """Only arguments that the caller gave are sent."""
    office, untyped = Office(), Untyped()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        await office_of(connection).reserve(1)
        # The default of the object, not of the contract.
        assert office.rows == ["S"]
    async with connected(untyped, dialect) as connection:
        await office_of(connection).reserve(seats=1)
        await office_of(connection).reserve(1, colour=Colour.RED)
        assert untyped.came == [((1,), {}), ((1,), {"colour": "red"})]


async def test_wrong_arguments(dialect: str) -> None:
    """They are refused before anything is written; the text has the place, not the value."""
    untyped = Untyped()
    async with connected(untyped, dialect) as connection:
        made = connection.stats.calls_made
        office: Any = office_of(connection)
        for call, text in (
            (lambda: office.reserve("secret"), "reserve: seats: Expected `int`, got `str`"),
            (lambda: office.reserve(True), "reserve: seats: Expected `int`, got `bool`"),
            (lambda: office.reserve(1, row=3), "reserve: row: Expected `str`, got `int`"),
            (lambda: office.reserve(1, colour="secret"), "reserve: colour: Invalid enum value"),
            (office.reserve, "reserve: missing 1 required positional argument: 'seats'"),
            (
                lambda: office.reserve(1, seet=1),
                "reserve: got an unexpected keyword argument 'seet'",
            ),
            (
                lambda: office.reserve(1, "B"),
                "reserve: takes 2 positional arguments but 3 were given",
            ),
            (
                lambda: office.sold(Seat(3, 1)),  # type: ignore[arg-type]
                "sold: seat.row: Expected `str`, got `int`",
            ),
            (
                lambda: office.same(Ear(), object()),
                "same: other: a `object` has no method 'heard' of Listener",
            ),
            (lambda: office.same(3, Ear()), "same: one: Expected `Listener`, got `int`"),
        ):
            with pytest.raises(broker.WrongArguments) as caught:
                call()
            # Later versions of Python propose another name.
            assert str(caught.value).partition(". Did you mean")[0] == text
        assert connection.stats.calls_made == made
        assert untyped.came == []


async def test_a_wrong_result(dialect: str) -> None:
    """The caller checks what an untyped object returns."""
    async with connected(Untyped(), dialect) as connection:
        office = office_of(connection)
        assert await office.reserve(1) == [Seat("Z", 1)]
        with pytest.raises(broker.WrongResult) as caught:
            await office.sold(Seat("A", 1))
        assert str(caught.value) == "sold: result: Expected `str`, got `int`"


async def test_a_remote_error_stays_itself(dialect: str) -> None:
    """The check of results leaves failures alone."""
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        other = connection.root.of(Other)
        with pytest.raises(broker.NoSuchMethod, match="no remote method 'missing'"):
            await other.missing()


class Other(Protocol):
    """A contract that the server does not have."""

    async def missing(self) -> int:
        """Is not there."""


async def test_an_untyped_caller(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """The callee checks what comes without a contract; its own wrong result is its own fault."""
    caplog.set_level(logging.ERROR)
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        root = connection.root
        assert await root.callRemote("reserve", 1, row="X") == [
            {"row": "X", "number": 0, "held": False}
        ]
        for args, text in (
            (("secret",), "reserve: seats: Expected `int`, got `str`"),
            ((), "reserve: missing 1 required positional argument: 'seats'"),
        ):
            with pytest.raises(broker.WrongArguments) as caught:
                await root.callRemote("reserve", *args)
            assert str(caught.value) == text
        assert caplog.records == []
        with pytest.raises(broker.RemoteError, match=r"internal error \(id [0-9a-f]{8}\)"):
            await root.callRemote("wrong")
        (record,) = caplog.records
        assert "wrong: result: Expected `int`, got `str`" in (record.exc_text or "")


async def test_one_way(dialect: str) -> None:
    """A method that returns None sends nothing back, and raises only for its arguments."""
    ear = Ear()
    async with connected(broker.servant(Listener)(ear), dialect) as connection:
        listener: Any = connection.root.of(Listener)
        assert listener.heard("hello") is None
        assert await ear.heard_texts.get() == "hello"
        with pytest.raises(broker.WrongArguments, match="heard: text: Expected `str`, got `int`"):
            listener.heard(3)
    listener.heard("too late")


async def test_a_callback(dialect: str) -> None:
    """Any object is sent as a reference; the receiver gets a proxy; the same object is the same."""
    ear, other = Ear(), Ear()
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        office = office_of(connection)
        assert await office.room("stalls", ear).say("hi") == 1
        assert await ear.heard_texts.get() == "HI"
        assert await office.same(ear, ear)
        assert not await office.same(ear, other)


async def test_a_callback_of_an_untyped_server(dialect: str) -> None:
    """The untyped end has a RemoteReference, and calls it with callRemote or send."""
    ear, untyped = Ear(), Untyped()
    async with connected(untyped, dialect) as connection:
        assert await office_of(connection).same(ear, ear)
        assert await office_of(connection).wrong() == 1
        assert await ear.heard_texts.get() == "untyped"
        assert type(untyped.kept) is broker.RemoteReference
        untyped.kept = None


async def test_what_a_proxy_is(dialect: str) -> None:
    """It equals its reference, has its hash, and the names and docs of the contract."""
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        calls = connection.stats.calls_made
        office: Any = office_of(connection)
        again = office_of(connection)
        assert office == connection.root == again
        assert connection.root == office
        assert hash(office) == hash(connection.root)
        assert office != 3
        assert type(office) is type(again)
        assert isinstance(office, Proxy)
        assert office.reserve.__doc__ == "Reserve seats next to each other."
        assert inspect.signature(office.reserve) == inspect.signature(Office().reserve).replace(
            parameters=list(inspect.signature(TicketOffice.reserve).parameters.values())[1:],
            return_annotation=inspect.signature(TicketOffice.reserve).return_annotation,
        )
        assert repr(office).startswith("<TicketOffice of <RemoteReference to object")
        assert broker.reference_of(office) == connection.root
        assert await broker.resolved(office) is office
        assert connection.stats.calls_made == calls


async def test_a_proxy_is_sent_as_its_reference(dialect: str) -> None:
    """Also by an untyped call, and its owner gets its own object back."""
    ear, untyped = Ear(), Untyped()
    async with connected(untyped, dialect) as connection:
        reference: Any = await connection.root.callRemote("me")
        proxy = reference.of(Listener)
        assert await connection.root.callRemote("same", proxy, reference)
        assert untyped.kept is untyped.me
        assert not await office_of(connection).same(proxy, ear)
        assert untyped.kept is untyped.me
        untyped.kept = None


async def test_what_is_not_a_proxy(dialect: str) -> None:
    """The functions name themselves."""
    async with connected(Untyped(), dialect) as connection:
        with pytest.raises(TypeError, match=r"^reference_of\(\) takes a proxy, not int$"):
            broker.reference_of(3)
        with pytest.raises(TypeError, match=r"^resolved\(\) takes a proxy, not int$"):
            await broker.resolved(3)
        of: Any = connection.root.of
        with pytest.raises(TypeError, match=r"^of\(\) takes a Protocol class, not Ear$"):
            of(Ear)


async def test_a_typed_call_is_a_deferred(dialect: str) -> None:
    """It can be made a task, be gathered, and be cancelled."""
    office = Office()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        typed = office_of(connection)
        both: Any = [typed.reserve(1), typed.reserve(2)]
        assert [len(seats) for seats in await asyncio.gather(*both)] == [1, 2]
        waiting: Any = typed.reserve(1)
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
