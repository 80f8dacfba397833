"""The limits that hold unless told otherwise."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec import structs

from jelly.limits import Limits

NAMES = [field.name for field in structs.fields(Limits)]


def test_defaults() -> None:
    """The published three are PB's; the totals are ours."""
    assert structs.asdict(Limits()) == {
        "max_prefix": 64,
        "max_string": 655_360,
        "max_list": 655_360,
        "max_depth": 100,
        "max_expression": 16_777_216,
        "max_nodes": 1_000_000,
        "max_expanded": 1_000_000,
        "max_key_nodes": 10_000,
        "max_decimal_digits": 1_000,
        "max_decimal_exponent": 6_144,
    }


def test_frozen() -> None:
    """A record of limits, shared by many connections, does not change."""
    with pytest.raises(AttributeError, match="immutable"):
        Limits().max_list = 5  # type: ignore[misc]


@pytest.mark.parametrize("value", ["x", None, True, 1.5, math.nan, math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_limits_of_another_type(name: str, value: Any) -> None:
    """A limit that is no int is refused, by its name."""
    with pytest.raises(TypeError, match=rf"^{name}=.*: a limit is an int, not "):
        Limits(**{name: value})
    with pytest.raises(TypeError, match=rf"^{name}="):
        Limits().but(**{name: value})


@pytest.mark.parametrize("value", [-1, 0])
@pytest.mark.parametrize("name", NAMES)
def test_limits_that_cannot_be(name: str, value: int) -> None:
    """A limit below 1 is refused; a depth of 0 allows no list at all."""
    if name == "max_depth" and value == 0:
        assert Limits(max_depth=0).max_depth == 0
        return
    with pytest.raises(ValueError, match=rf"^{name}={value}: a limit is [01] at least$"):
        Limits(**{name: value})
