"""Contracts through both faces: a reference of either gives the methods of a contract."""

from __future__ import annotations

from typing import Any

import pytest
from support.ticket_office import Colour, Ear, Office, Seat, TicketOffice

import broker


async def test_typed_calls(face: Any) -> None:
    """Calls, references and callbacks are typed, and wrong arguments are refused."""
    link = await face.connect(await face.serve(broker.servant(TicketOffice)(Office())))
    office, ear = link.reference.of(TicketOffice), Ear()
    assert await face.outcome(office.reserve(1, colour=Colour.BLUE)) == [Seat("S", 0)]
    room = office.room("stalls", ear)
    assert await face.outcome(room.say("hi")) == 1
    assert await ear.heard_texts.get() == "HI"
    with pytest.raises(broker.WrongArguments):
        office.reserve("3")
    await face.trapped(link.reference.callRemote("reserve", "3"), TypeError)
    await face.trapped(office.wrong(), Exception)
    del office, room
