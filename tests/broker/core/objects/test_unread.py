"""What a peer has counted in an expression: references and caches, wherever they stand."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.objects.unread import counted_in
from jelly.slices import PARTS, UNFINISHED, VISITS, consumed

REMOTE, CACHED, CACHE = [b"remote", 1], [b"cached", 2], [b"Cache", 3, [b"dictionary"]]


def found(*entries: Any) -> list[Any]:
    """All that is found, without the pauses."""
    walk = counted_in(entries, lambda tag: tag == b"Cache", lambda tag: tag == b"remote")
    return [each for each in walk if each is not UNFINISHED]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (REMOTE, [REMOTE]),
        ([b"list", [b"tuple", REMOTE], 5, CACHED], [REMOTE, CACHED]),
        ([b"Cache", 3, [b"list", REMOTE]], [[b"Cache", 3, [b"list", REMOTE]], REMOTE]),
        ([b"dictionary", [b"remote", 5], [REMOTE, CACHE]], [REMOTE, CACHE]),
        ([b"reference", 1, [b"list", REMOTE]], [REMOTE]),
        ([b"Copy", [b"dictionary", [b"a", REMOTE]]], [REMOTE]),
        ([b"list", [b"remote"], [b"remote", -1], [b"remote", b"root"], [b"local", 1]], []),
        ([b"list", [b"lcache", 1], [b"Other", 3, [b"dictionary"]], [], [[]]], []),
        (5, []),
        ([b"dictionary", 5, [b"remote", 1, REMOTE]], [REMOTE]),
    ],
)
def test_where_it_stands(expression: Any, expected: list[Any]) -> None:
    """In any depth; a pair of a dict is no reference, and one without a number neither."""
    assert found((None, expression)) == expected


def test_an_expression_that_is_part_of_another_is_looked_through_once() -> None:
    """The frames of a walk are so, one inside the other."""
    inner = [b"list", REMOTE]
    outer = [b"list", inner, CACHED]
    assert sorted(found((None, outer), (None, inner))) == [CACHED, REMOTE]


def test_a_list_that_has_lost_its_tag() -> None:
    """What is left of a dict that is emptied while it is read are pairs; of a list, items."""
    pairs = [b"dictionary", [b"a", 1], [b"remote", 5], [REMOTE, CACHED]]
    rest = consumed(pairs)
    next(rest)
    next(rest)
    assert found((b"dictionary", pairs)) == [REMOTE, CACHED]
    items: list[Any] = [b"list", 1, REMOTE]
    next(consumed(items))
    assert found((b"list", items)) == [REMOTE]


def test_much_takes_several_slices() -> None:
    """Nothing else waits for a large expression."""
    walk = counted_in(
        [(None, [b"list", *([[b"list"]] * VISITS * PARTS), REMOTE])],
        lambda _: False,
        lambda tag: tag == b"remote",
    )
    assert list(walk) == [UNFINISHED, REMOTE]
