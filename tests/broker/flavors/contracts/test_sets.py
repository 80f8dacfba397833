"""A list that becomes a set has its members checked first, as deep as it may be."""

from __future__ import annotations

import time
from typing import Annotated, Any

import pytest
from msgspec import Meta

from broker.flavors.contracts.stand_ins import Mismatch
from broker.flavors.contracts.values import Value

PRIME = (1 << 61) - 1
"""Python's hash of an int is the int modulo this."""

COLLIDING = [number * PRIME for number in range(1, 100_001)]


def value_of(hint: Any) -> Value:
    """Return the values of a type."""

    def references(hint: object, where: str) -> Any:
        raise AssertionError("no contracts here")

    return Value(hint, "test", references)


@pytest.mark.parametrize(
    ("hint", "wrap"),
    [
        (set[int], lambda members: members),
        (set, lambda members: members),
        (frozenset[int], tuple),
        (set[int] | None, lambda members: members),
        (list[set[int]], lambda members: [members]),
        (dict[str, frozenset[int]], lambda members: {"a": members}),
        (Annotated[set[int], Meta(min_length=1)], lambda members: members),
    ],
)
def test_members_with_one_hash(hint: Any, wrap: Any) -> None:
    """Wide ints, which can have one hash, are refused at once."""
    started = time.process_time()
    with pytest.raises(Mismatch, match="int key wider than 64 bits"):
        value_of(hint).receive(wrap(COLLIDING))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("hint", "given", "made"),
    [
        (set[int], [1, 2, 2], {1, 2}),
        (frozenset[str], ("a",), frozenset({"a"})),
        (set[int], {1, 2}, {1, 2}),
        (set, [1, "a"], {1, "a"}),
        (set[tuple[int, str]], [[1, "a"], (2, "b")], {(1, "a"), (2, "b")}),
        (set[int] | None, None, None),
        (set[int] | None, [3], {3}),
        (list[set[int]], [[1], {2}], [{1}, {2}]),
    ],
)
def test_conversion(hint: Any, given: Any, made: Any) -> None:
    """Lists, tuples and sets become the set of the type."""
    found = value_of(hint).receive(given)
    assert (type(found), found) == (type(made), made)


@pytest.mark.parametrize(("hint", "given"), [(set[int], ["a"]), (set[int], 5), (set, [[1]])])
def test_wrong_values(hint: Any, given: Any) -> None:
    """A member of a wrong type is refused, and a member that no set can have."""
    with pytest.raises(Mismatch):
        value_of(hint).receive(given)
