"""Types of tables: where they come from, and what has them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest

import broker
from broker.errors import ConfigError, WrongType
from broker.flavors.table_types import ANYTHING, arguments_of, types_of

V = TypeVar("V")


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
