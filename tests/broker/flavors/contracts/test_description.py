"""Descriptions of contracts: what an object tells, as Python text and as JSON Schema."""

# ruff: noqa: D101, D102 - contracts and methods without a purpose of their own

from __future__ import annotations

import sys
import types
from typing import Any, Literal, Protocol

import pytest
from support.ticket_office import DIALECTS, Ear, Listener, Office, TicketOffice, connected

import broker
from broker.flavors.contracts.contract import contract_of

PYTHON = '''from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol


@dataclass
class Seat:
    row: str
    number: int
    held: bool = ...


class Colour(enum.Enum):
    RED = 'red'
    BLUE = 'blue'


class TicketOffice(Protocol):
    """Sells seats."""

    async def reserve(self, seats: int, *, row: str = ..., colour: Colour = ...) -> list[Seat]:
        """Reserve seats next to each other."""

    def room(self, name: str, listener: Listener) -> Room:
        """Enter a room."""

    async def same(self, one: Listener, other: Listener) -> bool:
        """Return whether two listeners are the same."""

    async def sold(self, seat: Seat) -> str:
        """Return what was sold."""

    async def wrong(self) -> int:
        """Return text."""


class Room(Protocol):
    """A room."""

    async def say(self, text: str) -> int:
        """Say something; return how much was said."""


class Listener(Protocol):
    """Hears what is said."""

    def heard(self, text: str) -> None:
        """Hear."""
'''


class Forms(Protocol):
    async def f(self, a: int, /, b: Literal["x"], *c: int, d: int = 1, **e: Any) -> None: ...

    async def g(self, a: int, /) -> dict[str, list[int]]: ...


class Plain:
    """Fits Forms."""

    async def f(self, *args: Any, **kw: Any) -> None:
        """Do nothing."""

    async def g(self, a: int, /) -> Any:
        """Do nothing."""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_description(dialect: str) -> None:
    """It has the contracts of the object, and those among their types."""
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        found = await broker.describe(connection.root)
        assert [(c.title, c.is_served) for c in found.contracts] == [
            ("TicketOffice", True),
            ("Room", False),
            ("Listener", False),
        ]
        assert found.contracts[0].name == contract_of(TicketOffice).name
        assert [method.name for method in found.methods] == list(contract_of(TicketOffice).methods)
        room = found.methods[1]
        assert (room.form, room.result) == ("reference", "Room")
        assert [(p.name, p.kind, p.type, p.has_default) for p in room.parameters] == [
            ("name", "positional or keyword", "str", False),
            ("listener", "positional or keyword", "Listener", False),
        ]
        assert found.as_python() == PYTHON
        typed: Any = connection.root.of(TicketOffice)
        assert await broker.describe(typed) == found


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_its_python_is_a_contract(dialect: str) -> None:
    """The text is a module, whose contracts describe themselves with the same text."""
    async with connected(broker.servant(TicketOffice)(Office()), dialect) as connection:
        text = (await broker.describe(connection.root)).as_python()
    module: Any = types.ModuleType("described")
    sys.modules["described"] = module
    try:
        exec(compile(text, "described.py", "exec", dont_inherit=True), vars(module))
        async with connected(broker.servant(module.TicketOffice)(Office()), dialect) as connection:
            assert (await broker.describe(connection.root)).as_python() == text
    finally:
        del sys.modules["described"]


async def test_signatures() -> None:
    """All kinds of parameters are written as Python has them."""
    async with connected(broker.servant(Forms)(Plain())) as connection:
        found = await broker.describe(connection.root)
    assert [method.signature for method in found.methods] == [
        "async def f(self, a: int, /, b: Literal['x'], *c: int, d: int = ..., **e: Any) -> None",
        "async def g(self, a: int, /) -> dict[str, list[int]]",
    ]


async def test_json_schema() -> None:
    """Each method has a schema of its parameters and of its result."""
    async with connected(broker.servant(TicketOffice)(Office())) as connection:
        found = (await broker.describe(connection.root)).as_json_schema()
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$defs"]["Seat"]["required"] == ["row", "number"]
    methods = found["contracts"][contract_of(TicketOffice).name]
    assert methods["reserve"] == {
        "form": "call",
        "parameters": {
            "type": "object",
            "properties": {
                "seats": {"type": "integer"},
                "row": {"type": "string"},
                "colour": {"$ref": "#/$defs/Colour"},
            },
            "required": ["seats"],
        },
        "result": {"type": "array", "items": {"$ref": "#/$defs/Seat"}},
    }
    assert methods["room"]["result"] == {"title": "Room", "description": "a reference"}


@broker.implements(Listener)
class Published(broker.Root):
    """A class with a contract, and a method that only its prefix exposes."""

    def remote_heard(self, text: str) -> None:
        """Hear."""

    def remote_beside(self) -> None:
        """Stay undisclosed."""


async def test_a_class_with_a_contract() -> None:
    """It tells its contract, and nothing else."""
    async with connected(Published()) as connection:
        found = await broker.describe(connection.root)
    assert [method.name for method in found.methods] == ["heard"]


class Liar(broker.Root):
    """Answers with something else."""

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Answer any name."""
        return 3


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_objects_without_a_contract(dialect: str) -> None:
    """They have no such method; an answer that is not a description is refused."""
    async with connected(broker.Root(), dialect) as connection:
        with pytest.raises(broker.NoSuchMethod):
            await broker.describe(connection.root)
    async with connected(Liar(), dialect) as connection:
        with pytest.raises(broker.WrongResult, match="describe: result: Expected `object`"):
            await broker.describe(connection.root)
    with pytest.raises(TypeError, match=r"^describe\(\) takes a reference, not Ear$"):
        await broker.describe(Ear())
