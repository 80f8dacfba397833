"""Keys and values of tables: what is plain data, how large it is, and where types come from."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import pytest

import broker
from broker.errors import ConfigError, WrongType
from broker.flavors.referenceable import Referenceable
from broker.flavors.table_values import (
    ANYTHING,
    arguments_of,
    check_key,
    is_data,
    size_of,
    types_of,
)

V = TypeVar("V")

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


@pytest.mark.parametrize("value", [v for v in PLAIN if not isinstance(v, set | frozenset)], ids=repr)
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


def test_arguments_of_classes() -> None:
    """The types that a class, or a base of it, gives to the table."""

    class Book(broker.Table[str, float]):
        pass

    class Small(Book):
        pass

    class Named(broker.Table[str, V], Generic[V]):
        pass

    class Numbers(Named[int]):
        pass

    class Lists(broker.Table[str, list[V]], Generic[V]):
        pass

    class Texts(Lists[str]):
        pass

    assert arguments_of(Book, broker.Table) == (str, float)
    assert arguments_of(Small, broker.Table) == (str, float)
    assert arguments_of(broker.Table, broker.Table) == ()
    assert arguments_of(Numbers, broker.Table) == (str, int)
    assert arguments_of(Texts, broker.Table) == (str, list[str])


def test_types() -> None:
    """Any is checked nowhere; without types both are taken."""
    assert types_of("Table", (Any, object)) is ANYTHING
    made = types_of("Table", (str, Any))
    assert made.received("a", object) == ("a", object)
    with pytest.raises(WrongType, match=r"Table\[str, Any\]: key: Expected `str`, got `int`"):
        made.sent(5, 1)
    with pytest.raises(ConfigError, match="has two types"):
        types_of("Table", (str,))
    with pytest.raises(ConfigError, match="cannot be sent"):
        types_of("Table", (str, type))
