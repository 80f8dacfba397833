"""Annotations: their resolution, the replacement of type variables, and their text."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Generic, Literal, Optional, Protocol, TypeVar

import pytest

import broker
from broker.flavors.contracts.hints import (
    hints_of,
    is_contract,
    members_of,
    substituted,
    type_text,
)

T = TypeVar("T")
U = TypeVar("U")


class Plain:
    """Not a contract."""


class Store(Protocol[T]):
    """A generic contract."""


class Colour(enum.Enum):
    """An Enum."""

    RED = 1


class Box(Generic[T]):
    """A generic class."""


def test_what_is_a_contract() -> None:
    """A Protocol class is a contract, also with arguments; an implementation is not."""

    class Implementation(Store[int]):
        pass

    assert is_contract(Store)
    assert is_contract(Store[int])
    for other in (Plain, Implementation, Box[int], Any, 3, list[int]):
        assert not is_contract(other), other


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (list[Plain], "list[Plain]"),
        (Optional[int], "int | None"),  # noqa: UP045
        (int | str, "int | str"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Literal[Colour.RED], "Literal[Colour.RED]"),
        (Annotated[int, "one"], "Annotated[int, 'one']"),
        (Any, "Any"),
        (Store[int], "Store[int]"),
        (T, "T"),
    ],
)
def test_the_text_of_a_type(hint: object, text: str) -> None:
    """It has Python's syntax, without modules."""
    assert type_text(hint) == text


def test_type_variables() -> None:
    """They are replaced wherever they stand."""
    known = {T: int, U: str}
    cases: list[tuple[Any, Any]] = [
        (T, int),
        (list[T], list[int]),
        (dict[T, list[U]], dict[int, list[str]]),
        (T | None, int | None),
        (tuple[T, ...], tuple[int, ...]),
        (Store[T], Store[int]),
        (Annotated[T, "x"], Annotated[int, "x"]),
        (Literal["T"], Literal["T"]),
        (int, int),
    ]
    for hint, expected in cases:
        assert substituted(hint, known) == expected


def test_members() -> None:
    """Those of a union, else the type alone."""
    assert members_of(int | None) == (int, type(None))
    assert members_of(int) == (int,)


def test_names_that_are_not_defined() -> None:
    """The error names them, and the place."""

    def one(self: object, x: Seet) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def three(self: object, x: broker.Nothing) -> None: ...  # type: ignore[name-defined]

    for function, text in (
        (one, "Office.f: 'Seet' is not defined"),
        (
            three,
            "Office.f: an annotation cannot be resolved: module 'broker' has no attribute"
            " 'Nothing'",
        ),
    ):
        with pytest.raises(broker.ConfigError) as caught:
            hints_of(function, "Office.f")
        assert str(caught.value) == text
