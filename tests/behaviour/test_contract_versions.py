"""Two versions of a contract: which changes are safe between an old and a new end."""

# ruff: noqa: D101, D102 - versions of one contract, told apart by the tests

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS, connected

import broker

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


class Colour1(enum.Enum):
    RED = "red"


class Colour2(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Order1:
    row: str


@dataclass
class Order2:
    """A new field with a default."""

    row: str
    seats: int = 1


@dataclass
class Order3:
    """A new field without a default."""

    row: str
    seats: int


class Old(Protocol):
    async def buy(self, order: Order1) -> Order1: ...

    async def paint(self, colour: Colour1) -> Colour1: ...

    async def count(self, row: str) -> int | None: ...

    async def gone(self) -> int: ...


class New(Protocol):
    async def buy(self, order: Order2) -> Order2: ...

    async def paint(self, colour: Colour2) -> Colour2: ...

    async def count(self, row: str | int, least: int = 0) -> int: ...

    async def added(self) -> str: ...


class Strict(Protocol):
    async def buy(self, order: Order3) -> Order3: ...

    async def count(self, row: str, least: int) -> int: ...


class OldOffice:
    async def buy(self, order: Any) -> Any:
        return order

    async def paint(self, colour: Any) -> Any:
        return colour

    async def count(self, row: str) -> int | None:
        return None if row == "none" else 1

    async def gone(self) -> int:
        return 1


class NewOffice:
    async def buy(self, order: Any) -> Any:
        return order

    async def paint(self, colour: Any) -> Any:
        return Colour2.BLUE

    async def count(self, row: str | int, least: int = 0) -> int:
        return least

    async def added(self) -> str:
        return "added"


async def test_an_old_client_of_a_new_server(dialect: str) -> None:
    """New methods, parameters and fields with defaults, wider parameters and narrower results."""
    async with connected(broker.servant(New)(NewOffice()), dialect) as connection:
        old: Any = connection.root.of(Old)
        assert await old.buy(Order1("A")) == Order1("A")
        assert await old.count("A") == 0
        # Not safe: a removed method, and a new member in a result.
        with pytest.raises(broker.NoSuchMethod):
            await old.gone()
        with pytest.raises(broker.WrongResult, match="paint: result: Invalid enum value"):
            await old.paint(Colour1.RED)


async def test_a_new_client_of_an_old_server(dialect: str) -> None:
    """A new method is missing; a new member, and a wider type, are safe once the callee has it."""
    async with connected(broker.servant(Old)(OldOffice()), dialect) as connection:
        new: Any = connection.root.of(New)
        assert await new.buy(Order2("A", 3)) == Order2("A", 1)
        assert await new.count("A") == 1
        assert await new.paint(Colour2.RED) is Colour2.RED
        with pytest.raises(broker.NoSuchMethod):
            await new.added()
        with pytest.raises(broker.WrongArguments, match="paint: colour: Invalid enum value"):
            await new.paint(Colour2.BLUE)
        with pytest.raises(broker.WrongArguments, match="count: row: Expected `str`, got `int`"):
            await new.count(3)
        with pytest.raises(broker.WrongArguments, match="unexpected keyword argument 'least'"):
            await new.count("A", least=1)
        with pytest.raises(broker.WrongResult, match="count: result: Expected `int`, got `null`"):
            await new.count("none")


async def test_changes_that_are_not_safe(dialect: str) -> None:
    """A new field without a default in an argument, and a removed default."""

    class Office:
        async def buy(self, order: Any) -> Any:
            return order

        async def count(self, row: str, least: int) -> int:
            return least

    async with connected(broker.servant(Strict)(Office()), dialect) as connection:
        old: Any = connection.root.of(Old)
        with pytest.raises(
            broker.WrongArguments, match="buy: order: Object missing required field `seats`"
        ):
            await old.buy(Order1("A"))
        with pytest.raises(broker.WrongArguments, match="missing 1 required positional argument"):
            await old.count("A")


class Both(Old, Protocol):
    """The second version beside the first, by inheritance."""

    async def added(self) -> str: ...


class BothOffice(OldOffice):
    async def added(self) -> str:
        return "added"


async def test_two_versions_side_by_side(dialect: str) -> None:
    """Clients of either work, and a description tells which methods are served."""
    async with connected(broker.servant(Both)(BothOffice()), dialect) as connection:
        assert await connection.root.of(Old).gone() == 1
        assert await connection.root.of(Both).added() == "added"
        found = await broker.describe(connection.root)
        assert [method.name for method in found.methods] == [
            "buy",
            "paint",
            "count",
            "gone",
            "added",
        ]
