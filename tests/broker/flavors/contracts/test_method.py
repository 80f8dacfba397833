"""One method of a contract: its form, its parameters, its result, and the checks."""

# ruff: noqa: D101, D102 - contracts and methods without a purpose of their own

from __future__ import annotations

import inspect
from typing import Protocol

import pytest

import broker
from broker.flavors.contracts.contract import contract_of
from broker.flavors.contracts.method import Form, checker
from broker.flavors.contracts.stand_ins import Mismatch


class Office(Protocol):
    async def call(self, one: int, /, two: str = "x", *more: int, three: int, **rest: str) -> int:
        """Call.

        With more lines.
        """

    def refer(self) -> Office: ...

    def notify(self) -> None: ...


METHODS = contract_of(Office).methods


def test_forms() -> None:
    """The form of a method says what a call returns."""
    assert [method.form for method in METHODS.values()] == [
        Form.CALL,
        Form.REFERENCE,
        Form.ONE_WAY,
    ]


def test_parameters() -> None:
    """They have their kinds, their types, and whether they have a default."""
    call = METHODS["call"]
    kinds = inspect.Parameter
    assert [(p.name, p.kind, p.has_default, p.value.hint) for p in call.parameters] == [
        ("one", kinds.POSITIONAL_ONLY, False, int),
        ("two", kinds.POSITIONAL_OR_KEYWORD, True, str),
        ("more", kinds.VAR_POSITIONAL, False, int),
        ("three", kinds.KEYWORD_ONLY, False, int),
        ("rest", kinds.VAR_KEYWORD, False, str),
    ]
    assert (call.returns, call.where) == (int, "Office.call")
    assert call.doc == "Call.\n\nWith more lines."
    assert METHODS["notify"].doc == ""


def test_a_checker() -> None:
    """It converts, or raises with the place."""

    def convert(value: object) -> object:
        if value == 3:
            raise Mismatch("Expected `x`", "[0]")
        return [value]

    check = checker(convert, "call: one", broker.WrongArguments)
    assert check(1) == [1]
    with pytest.raises(broker.WrongArguments) as caught:
        check(3)
    assert str(caught.value) == "call: one[0]: Expected `x`"
    assert caught.value.__context__ is None
