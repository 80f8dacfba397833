"""``pb describe``: what it prints, and the status that it ends with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Protocol

import pytest
from support.runner import Runner
from support.ticket_office import Office, Seat, TicketOffice

import broker
from broker.commands.describe import describe
from cred import AllowAnonymousAccess, Portal

SHOWN = """TicketOffice: Sells seats.
    async def reserve(seats: int, *, row: str = ..., colour: Colour = ...) -> list[Seat]
    def room(name: str, listener: Listener) -> Room   reference
    async def same(one: Listener, other: Listener) -> bool
    async def sold(seat: Seat) -> str
    async def wrong() -> int

Room: A room.
    async def say(text: str) -> int

Listener: Hears what is said.
    def heard(text: str) -> None   one way
"""


async def run(target: Any, *arguments: str) -> tuple[int, str, str]:
    """Describe the object of a server that runs meanwhile; return status, output and errors."""
    async with broker.serve(target, "pb://127.0.0.1:0") as server:
        command = [server.addresses[0], *arguments]
        result = await asyncio.to_thread(Runner().invoke, describe, command)
    return result.exit_code, result.stdout, result.stderr


async def test_for_a_reader() -> None:
    """Each contract with its methods, without self; the form is told unless it is a call."""
    assert await run(broker.servant(TicketOffice)(Office())) == (0, SHOWN, "")


async def test_python() -> None:
    """A module, which compiles."""
    status, text, _ = await run(broker.servant(TicketOffice)(Office()), "--python")
    assert status == 0
    assert text.startswith("from __future__ import annotations\n")
    assert "class TicketOffice(Protocol):" in text
    compile(text, "described.py", "exec")


async def test_typescript() -> None:
    """A module for the TypeScript client."""
    status, text, _ = await run(broker.servant(TicketOffice)(Office()), "--typescript")
    assert status == 0
    assert text.startswith("import { contract, type Ref, ")
    assert "export interface TicketOffice {" in text


async def test_json() -> None:
    """JSON Schema."""
    status, text, _ = await run(broker.servant(TicketOffice)(Office()), "--json")
    assert status == 0
    assert set(json.loads(text)) == {"$schema", "$defs", "contracts"}


async def test_a_login() -> None:
    """It describes the avatar; without a login the text says what is missing."""
    realm = broker.realm(lambda name, mind: broker.servant(TicketOffice)(Office()))
    portal = Portal(realm, [AllowAnonymousAccess()])
    assert await run(portal, "--anonymous") == (0, SHOWN, "")
    status, _, told = await run(portal)
    assert status == 4
    assert told.startswith("pb describe: ")


async def test_an_object_without_a_contract() -> None:
    """It has no such method; its own methods stay undisclosed."""
    status, text, told = await run(broker.Root())
    assert (status, text) == (1, "")
    assert told == "NoSuchMethod: no remote method 'pb:describe'\n"


@pytest.mark.parametrize("both", [("--python", "--json"), ("--typescript", "--python")])
async def test_wrong_use(both: tuple[str, ...]) -> None:
    """Two forms at once are a mistake of the command line."""
    status, _, told = await run(broker.Root(), *both)
    assert status == 2
    assert "choose one of --python, --typescript and --json" in told


async def test_text_of_the_peer_is_escaped() -> None:
    """A docstring cannot change what a terminal shows."""

    class Evil(broker.Root):
        def remoteMessageReceived(self, broker: Any, name: str, args: Any, kw: Any) -> Any:
            contract = {
                "name": "x", "title": "x", "doc": "a\x1b[2Jb", "is_served": True, "methods": []
            }  # fmt: skip
            return broker.serialize({"contracts": [contract], "classes": []})

    status, text, _ = await run(Evil())
    assert (status, text) == (0, "x: a\\x1b[2Jb\n")


class Feed(Protocol):
    """Tells seats as they are sold."""

    def sold(self, row: str) -> AsyncIterator[Seat]:
        """Yield each seat."""

    async def store(self, seats: AsyncIterable[Seat] | None) -> int:
        """Store seats."""


class TheFeed:
    """A feed."""

    async def sold(self, row: str) -> AsyncIterator[Seat]:
        """Sell one seat."""
        yield Seat(row, 1)

    async def store(self, seats: AsyncIterable[Seat] | None) -> int:
        """Store none."""
        return 0


STREAMS = """Feed: Tells seats as they are sold.
    def sold(row: str) -> AsyncIterator[Seat]   stream
    async def store(seats: AsyncIterable[Seat] | None) -> int
"""


async def test_streams() -> None:
    """A method that returns a stream has ``stream`` behind it, and its text has its imports."""
    feed = broker.servant(Feed)(TheFeed())
    assert await run(feed) == (0, STREAMS, "")
    status, text, _ = await run(feed, "--python")
    assert status == 0
    assert "    def sold(self, row: str) -> AsyncIterator[Seat]:" in text
    names: dict[str, Any] = {}
    exec(text, names)
    assert broker.contract(names["Feed"]) is names["Feed"]


async def test_streams_in_json() -> None:
    """The schema of a stream is that of its items."""
    _, text, _ = await run(broker.servant(Feed)(TheFeed()), "--json")
    stream = {"title": "Stream", "description": "a stream", "items": {"$ref": "#/$defs/Seat"}}
    (methods,) = json.loads(text)["contracts"].values()
    assert methods["sold"]["form"] == "stream"
    assert methods["sold"]["result"] == stream
    seats = methods["store"]["parameters"]["properties"]["seats"]
    assert seats == {"anyOf": [stream, {"type": "null"}]}
