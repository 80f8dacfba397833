"""Unopened values: not decoded, and released if they are never opened."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import FakeHost

from broker.core.objects.releases import PendingReleases
from broker.core.objects.unopened import Unopened, opened
from jelly.errors import LimitExceeded
from jelly.limits import Limits


def seal(expression: Any, max_refs: int = 8) -> tuple[Unopened, list[Any], PendingReleases]:
    """Return an unopened value, the list of decoded expressions, and the list of releases."""
    unjellied: list[Any] = []
    dropped = PendingReleases(FakeHost())

    def unjelly(found: Any, perspective: Any) -> str:
        unjellied.append((found, perspective))
        return "the value"

    return (
        Unopened(expression, unjelly, dropped, Limits(max_depth=16), max_refs),
        unjellied,
        dropped,
    )


REFERENCES = [b"list", [b"remote", 5], [b"cached", 6], [b"cache", 7, b"demo.Ticker", [b"None"]]]


def test_it_is_opened_once_asked() -> None:
    """Nothing is made of it before; what is made then is all that is due."""
    sealed, unjellied, dropped = seal(REFERENCES)
    assert unjellied == []
    assert opened(sealed) == "the value"
    assert unjellied == [(REFERENCES, None)]
    del sealed
    assert list(dropped) == []


def test_other_values_are_open() -> None:
    """Any other value is returned unchanged."""
    assert opened("open") == "open"
    assert opened(None) is None


def test_unopened_it_lets_go() -> None:
    """The peer is told that its objects and caches are not held: it has counted them."""
    sealed, unjellied, dropped = seal(REFERENCES)
    del sealed
    assert sorted((note.__name__, number, count) for note, number, count in dropped) == [
        ("Decache", 6, 1),
        ("Decache", 7, 1),
        ("Decref", 5, 1),
    ]
    assert unjellied == []


@pytest.mark.parametrize(
    "expression",
    [
        [b"dictionary", [b"remote", 5], [[b"unicode", b"cached"], 6]],
        [b"list", b"remote", 5],
        [b"remote"],
        [b"remote", b"root"],
        [[b"remote"], 5],
        [],
        5,
    ],
)
def test_what_is_no_reference(expression: Any) -> None:
    """Bytes that look like a tag, or a tag without a number, are not references."""
    sealed, _, dropped = seal(expression)
    del sealed
    assert list(dropped) == []


def test_references_inside_a_dictionary() -> None:
    """Keys and values are looked at."""
    sealed, _, dropped = seal([b"dictionary", [[b"remote", 1], [b"list", [b"remote", 2]]]])
    del sealed
    assert sorted(number for _, number, _ in dropped) == [1, 2]


def test_too_many_references() -> None:
    """So many and no more; those that are only counted, such as shared values, too."""
    seal([b"list", *([b"remote", n] for n in range(8))])
    with pytest.raises(LimitExceeded, match=r"^more than 8 live references \(max_refs\)$"):
        seal([b"list", *([b"remote", n] for n in range(8)), [b"reference", 1, [b"list"]]])


def test_too_deep() -> None:
    """The message and its arguments count as two levels."""
    value: Any = [b"list"]
    for _ in range(13):
        value = [b"list", value]
    seal(value)
    with pytest.raises(LimitExceeded, match=r"^nesting deeper than 16 \(max_depth\)$"):
        seal([b"list", value])
