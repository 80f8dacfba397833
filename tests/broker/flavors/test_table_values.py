"""Keys and values of tables: what is plain data, and how large it is."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import broker
from broker.errors import WrongType
from broker.flavors.referenceable import Referenceable
from broker.flavors.table_values import check_key, is_data, size_of

PLAIN = [
    *(None, True, 1, 1 << 100, 1.5, "text", b"bytes", [], {}, (), set(), frozenset({1})),
    *(decimal.Decimal("1.5"), uuid.UUID(int=5), datetime.date(2026, 1, 1)),
    *(datetime.time(1), datetime.timedelta(1), datetime.datetime(2026, 1, 1)),
    {"a": [(1, {2: frozenset({b"x"})})]},
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_data(value: Any) -> None:
    """Builtin values of all kinds, within each other, and with shared parts, are data."""
    assert is_data(value)
    assert is_data([value, (value, {"k": value})])
    knot: list[Any] = [value]
    knot.append(knot)
    assert is_data(knot)


def test_subclasses() -> None:
    """An instance of a subclass would arrive as another type, so it is no value."""

    class Text(str):
        __slots__ = ()

    with pytest.raises(WrongType, match="Text in a value"):
        is_data(Text("x"))
    with pytest.raises(WrongType, match="Text in a key"):
        check_key(Text("x"))


@dataclass
class Sold:
    """A registered dataclass without a base."""

    price: float
    to: Any = None


def test_registered_classes() -> None:
    """Their instances are values, but not data alone; what they have is looked at, too."""
    with pytest.raises(WrongType, match="Sold in a value"):
        is_data(Sold(1.0))
    broker.register(Sold, "test_values.Sold")
    assert is_data([Sold(1.0)]) is False
    with pytest.raises(WrongType, match="Referenceable in a value"):
        is_data([Sold(1.0, Referenceable())])


@pytest.mark.parametrize(
    "value", [v for v in PLAIN if not isinstance(v, set | frozenset)], ids=repr
)
def test_sizes(value: Any) -> None:
    """They are those of msgpack, and about right for what it does not have."""
    try:
        known = len(msgspec.msgpack.encode([value]))
    except (OverflowError, TypeError):
        known = 10
    assert known <= size_of(value) <= known + 200


def test_sizes_of_what_msgpack_has_not() -> None:
    """They are not less than the bytes that are sent, and a knot has a size."""
    assert size_of(1 << 7000) >= 1000
    assert size_of({(1, 2): "x" * 500, 1 << 100: b"y" * 500}) >= 1000
    knot: list[Any] = ["\ud800" * 100, 1 << 100]
    knot.append(knot)
    assert 300 <= size_of(knot) <= 1000
