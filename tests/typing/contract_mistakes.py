"""Uses of a contract that a type checker must refuse, one a line; the comment names the mistake."""

from __future__ import annotations

from contracts import Ear, Listener, Office, Room, TicketOffice

import broker


class NotAnOffice:
    """Lacks a method, and has another type."""

    async def reserve(self, seats: str) -> None:
        """Reserve."""


async def mistakes(connection: broker.Connection) -> None:
    """Make one mistake a line."""
    office = connection.avatar.of(TicketOffice)
    await office.reserve("3")  # wrong: argument
    await office.reserve()  # wrong: missing
    await office.reserve(3, "B")  # wrong: positional
    await office.reserve(3, seet="B")  # wrong: keyword
    await office.reserved(3)  # wrong: name
    number: int = await office.reserve(3)  # wrong: result
    office.reserve(3)  # wrong: forgotten await
    office.room("stalls", Office())  # wrong: callback
    text: str = office.room("stalls", Ear())  # wrong: reference
    await office.room("stalls", Ear()).say(3)  # wrong: argument of a reference
    broker.servant(TicketOffice)(NotAnOffice())  # wrong: servant
    broker.servant(Listener)(Office())  # wrong: another contract
    room: Room = await broker.resolved(office)  # wrong: another proxy
    broker.reference_of(office).reserve(3)  # wrong: a reference has no methods
    print(number, text, room)
