"""References that are used before they have come: their calls are made in order."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from support.ticket_office import DIALECTS, Ear, Office, TicketOffice, connected, office_of

import broker
from broker.flavors.promise import Promise

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


async def test_calls_wait_in_order(dialect: str) -> None:
    """They are made when the reference has come."""
    office, ear = Office(), Ear()
    office.gate.clear()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        room: Any = office_of(connection).room("stalls", ear)
        answers = [room.say(text) for text in "abc"]
        assert repr(room) == "<Room of <the result of room, which has not come yet>>"
        await office_of(connection).reserve(1)
        assert office.entered[0].said == []
        office.gate.set()
        assert [await answer for answer in answers] == [1, 2, 3]
        assert office.entered[0].said == ["a", "b", "c"]
        assert await room.say("d") == 4


async def test_resolved(dialect: str) -> None:
    """It waits for the reference; before, there is none to compare, but it can be sent."""
    office = Office()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        typed: Any = office_of(connection)
        room = typed.room("stalls", Ear())
        with pytest.raises(RuntimeError, match=r"await broker\.resolved\(proxy\) before"):
            broker.reference_of(room)
        with pytest.raises(RuntimeError, match=r"await broker\.resolved\(proxy\) before"):
            hash(room)
        with pytest.raises(broker.WrongArguments, match="got `RoomServant`"):
            await connection.root.callRemote("sold", room)
        assert await broker.resolved(room) is room
        assert broker.reference_of(room) == room
        assert hash(broker.reference_of(room)) == hash(room)


async def test_the_error_of_the_call(dialect: str) -> None:
    """It fails the waiting calls, those that follow, and the wait."""
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        room = office_of(connection).room("closed", Ear())
        waiting = room.say("a")
        for result in (waiting, broker.resolved(room), room.say("b"), broker.resolved(room)):
            with pytest.raises(broker.Error, match="the room is closed"):
                await result
        late = room.say("c")
        assert isinstance(late, Promise)
        with pytest.raises(broker.Error, match="the room is closed"):
            await late


async def test_an_error_that_no_call_waits_for(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, unless a later call gets it."""
    caplog.set_level(logging.ERROR)
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        room: Any = office_of(connection).room("closed", Ear())
        await office_of(connection).reserve(1)
        with pytest.raises(broker.Error):
            await room.say("late")
        del room
        gc.collect()
        assert caplog.records == []
        office_of(connection).room("closed", Ear())
        await office_of(connection).reserve(1)
        gc.collect()
        assert len(caplog.records) == 1


async def test_a_waiting_call_is_cancelled(dialect: str) -> None:
    """It is not made."""
    office = Office()
    office.gate.clear()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        room: Any = office_of(connection).room("stalls", Ear())
        first, second = room.say("a"), room.say("b")
        first.addErrback(lambda _: None)
        await office_of(connection).reserve(1)
        first.cancel()
        await office_of(connection).reserve(1)
        office.gate.set()
        assert await second == 1
        assert office.entered[0].said == ["b"]


async def test_a_call_from_a_callback(dialect: str) -> None:
    """It is made when the call before it has failed: at once, or when the reference has come."""
    office = Office()
    office.gate.clear()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        room: Any = office_of(connection).room("stalls", Ear())
        later: list[Any] = []
        broken = room.say("\ud800")
        broken.addErrback(lambda _: later.append(room.say("c")))
        second = room.say("b")
        office.gate.set()
        assert {await second, await later[0]} == {1, 2}
        is_sent_at_once = dialect == "msgpack/1"
        assert office.entered[0].said == (["c", "b"] if is_sent_at_once else ["b", "c"])


async def test_the_connection_ends(dialect: str) -> None:
    """The waiting calls fail as all others do."""
    office = Office()
    office.gate.clear()
    async with connected(broker.servant(TicketOffice)(office), dialect) as connection:
        room = office_of(connection).room("stalls", Ear())
        waiting = room.say("a")
        await connection.close()
        with pytest.raises(broker.PBConnectionLost):
            await waiting
        office.gate.set()
