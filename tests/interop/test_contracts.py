"""A contract at one end, and Twisted at the other, which knows nothing of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer, explained_by
from support.ticket_office import (
    Colour,
    Ear,
    Listener,
    Office,
    Room,
    Seat,
    TheRoom,
    TicketOffice,
    office_of,
)

import broker

HERE = Path(__file__).parent


async def test_a_typed_client_of_a_twisted_server() -> None:
    """The results have their types; arguments and results are checked at this end alone."""
    with Peer(HERE / "contract_server.py") as server, explained_by(server):
        port = await asyncio.to_thread(server.read)
        async with broker.connect(f"pb://127.0.0.1:{port}") as connection:
            assert connection.dialect == "pb"
            office: Any = office_of(connection)
            assert await office.reserve(2, row="B", colour=Colour.BLUE) == [Seat("B", 1)]
            assert await office.reserve(2) == [Seat("T", 1)]
            assert await office.sold(Seat("C", 1)) == "C"
            ear = Ear()
            assert await office.same(ear, ear)
            assert await office.room("stalls", ear).say("hi") == 2
            assert await ear.heard_texts.get() == "HI"
            with pytest.raises(broker.WrongArguments, match="seats: Expected `int`, got `str`"):
                office.reserve("3")
            with pytest.raises(broker.WrongResult, match="sold: result: Expected `str`, got `int`"):
                await office.sold(Seat("wrong", 1))
            with pytest.raises(broker.NoSuchMethod):
                await office.wrong()
            with pytest.raises(broker.NoSuchMethod):
                await broker.describe(connection.root)
        came = [await asyncio.to_thread(server.read) for _ in range(2)]
        assert came == [[[2], {"row": "B", "colour": "blue"}], [[2], {}]]


@broker.implements(TicketOffice)
class Published(broker.Root):
    """The office in the published style."""

    def remote_reserve(
        self, seats: int, *, row: str = "A", colour: Colour = Colour.RED
    ) -> list[Seat]:
        """Reserve."""
        assert colour is Colour.BLUE
        return [Seat(row, number) for number in range(seats)]

    def remote_room(self, name: str, listener: Listener) -> Room:
        """Enter."""
        return TheRoom(listener)

    def remote_same(self, one: Listener, other: Listener) -> bool:
        """Compare."""
        return one == other

    def remote_sold(self, seat: Seat) -> str:
        """Tell the row."""
        return seat.row

    def remote_wrong(self) -> Any:
        """Break the contract."""
        return "x"


@pytest.mark.parametrize(
    "make", [lambda: broker.servant(TicketOffice)(Office()), Published], ids=["servant", "class"]
)
async def test_a_twisted_client_of_a_typed_server(make: Any) -> None:
    """It sends and gets the values of an untyped call; wrong ones are refused as errors."""
    async with broker.serve(make(), "pb://127.0.0.1:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        with Peer(HERE / "contract_client.py", port) as client, explained_by(client):
            found = await asyncio.to_thread(client.read_all)
    seats, room, same, wrong, fault, missing, described = found
    assert seats == [{"row": "X", "number": 0, "held": False}]
    assert room == [1, ["HI"]]
    assert same is True
    assert wrong == ["builtins.TypeError", "reserve: seats: Expected `int`, got `str`"]
    assert re.match(r"internal error \(id [0-9a-f]{8}\)", fault[1])
    assert missing[0].endswith("NoSuchMethod")
    assert described == ["classes", "contracts"]
