"""Values without parts that are not sent as they are."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Protocol

import pytest
from support.ticket_office import DIALECTS, connected

import broker
from broker.flavors.contracts.leaves import choice, copy_plan, enum_plan, lower_as, zoned_plan
from broker.flavors.contracts.stand_ins import convert

EAST = timezone(timedelta(hours=5, minutes=30))


class Clock(Protocol):
    """Returns times."""

    async def same(self, at: datetime) -> datetime:
        """Return it."""


class Desk(broker.Root):
    """An untyped clock; it notes what came."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    def remote_same(self, at: Any) -> Any:
        """Return it."""
        self.came.append(at)
        return at


class Typed:
    """A typed clock."""

    async def same(self, at: datetime) -> datetime:
        """Return it."""
        assert type(at) is datetime
        return at


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("zone", [None, UTC, EAST])
async def test_datetimes(dialect: str, zone: Any) -> None:
    """They keep their zone; in ``pb`` one with a zone is text on the wire."""
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=zone)
    async with connected(broker.servant(Clock)(Typed()), dialect) as connection:
        found = await connection.root.of(Clock).same(at)
        assert (found, found.utcoffset()) == (at, at.utcoffset())
    desk = Desk()
    async with connected(desk, dialect) as connection:
        assert await connection.root.of(Clock).same(at) == at
    if dialect == "pb":
        assert desk.came == [at if zone is None else at.isoformat()]


class Pair(enum.Enum):
    """Values that msgspec does not know."""

    ONE = (1, 2)


class Colour(enum.Enum):
    """Text."""

    RED = "red"


def test_enums() -> None:
    """Members are sent as their values; other values pass, to be refused by the check."""
    for cls, member, sent in ((Pair, Pair.ONE, (1, 2)), (Colour, Colour.RED, "red")):
        plan = enum_plan(cls)
        lower: Any = plan.lower
        assert lower(member) == sent
        assert lower(3) == 3
        assert convert(sent, plan.wire) is member
    assert enum_plan(Colour).wire is Colour


def test_other_leaves() -> None:
    """Text for a class, instances that pass, and a conversion of our own."""
    assert lower_as(str, int)(3) == "3"
    assert lower_as(str, int)(b"x") == b"x"
    plan = copy_plan(Desk)
    desk = Desk()
    assert convert(desk, plan.wire) is desk
    assert convert(3, choice("x", lambda value: [value])) == [3]
    naive = datetime(2026, 1, 2)
    lower: Any = zoned_plan().lower
    assert lower(naive) is naive
