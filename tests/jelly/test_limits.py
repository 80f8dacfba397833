"""The limits that hold unless told otherwise."""

from __future__ import annotations

import pytest
from msgspec import structs

from jelly.limits import Limits


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
