"""Numbers of the protocol: from 0 to 2**63 - 1, and ints of exactly that type."""

from __future__ import annotations

from typing import Any

import pytest

from jelly.errors import MalformedJelly
from jelly.numbers import LARGEST, is_number, number_in

WRONG = [-1, LARGEST + 1, 2**448 - 1, True, 1.0, b"1", "1", None, [1]]


def test_numbers() -> None:
    """The smallest and the largest are taken."""
    assert [number_in([b"remote", number]) for number in (0, 1, LARGEST)] == [0, 1, 2**63 - 1]


@pytest.mark.parametrize("value", WRONG)
def test_what_is_not_one(value: Any) -> None:
    """Another value is MalformedJelly, which names the tag and not the value."""
    assert not is_number(value)
    with pytest.raises(MalformedJelly, match=r"^remote without a number from 0 to 2\*\*63-1$"):
        number_in([b"remote", value])


def test_no_number() -> None:
    """A tag without a number is MalformedJelly."""
    with pytest.raises(MalformedJelly, match="cached without a number"):
        number_in([b"cached"])
