"""The number of parts of an expression."""

from __future__ import annotations

import pytest

from jelly.arity import check_arity, wrong_arity
from jelly.errors import MalformedJelly


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_parts(count: int) -> None:
    """An expression with more or fewer parts is refused; the error names the tag."""
    with pytest.raises(MalformedJelly, match=r"^persistent of 1 fields$"):
        check_arity([b"persistent", 5], count)


def test_the_right_number_of_parts() -> None:
    """An expression of the right length is accepted, and not changed."""
    expression = [b"persistent", 5]
    check_arity(expression, 2)
    assert expression == [b"persistent", 5]


def test_the_error_shows_little_of_a_tag() -> None:
    """The text has at most 64 characters of the peer's tag, and only printable ones."""
    assert len(str(wrong_arity([b"x\n" * 500]))) < 200
    assert "\n" not in str(wrong_arity([b"x\n" * 500]))
