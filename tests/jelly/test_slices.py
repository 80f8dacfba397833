"""Slices: a walk pauses often enough, and its result is that of a walk without pauses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jelly.codec import Writer
from jelly.jellier import Jellier
from jelly.knots import Knots
from jelly.limits import Limits
from jelly.slices import UNFINISHED, finish
from jelly.unjellier import Unjellier

N = 40_000
NUMBERS = [b"list", *range(N)]
EXPRESSIONS: dict[str, Any] = {
    "lists": [b"list", *([b"list"] for _ in range(N))],
    "mixed": [b"list", *range(N), [b"None"]],
    "leaves": [b"list", *([b"unicode", b"a"] for _ in range(N))],
    "tuples": [b"tuple", *([b"tuple", [b"list"], n] for n in range(N))],
    "dict of ints": [b"dictionary", *([n, n] for n in range(N))],
    "dict of text": [b"dictionary", *([[b"unicode", b"%d" % n], [b"list"]] for n in range(N))],
    "set": [b"set", *range(N)],
    "frozenset": [b"frozenset", *range(N)],
    "keys that hash others": [b"dictionary", *([[b"tuple", n, n], n] for n in range(N))],
    "frozenset of tuples": [b"frozenset", *([b"tuple", n, n] for n in range(N))],
    "a knot": [
        b"reference", 1,
        [b"tuple", [b"list", [b"dereference", 1]],
         [b"dictionary", *([[b"tuple", n, n], n] for n in range(N))],
         [b"frozenset", *range(N)]],
    ],
}  # fmt: skip


def paused(walk: Iterator[Any]) -> tuple[int, Any]:
    """How often a walk pauses, and its result."""
    pauses = 0
    while True:
        result = next(walk)
        if result is not UNFINISHED:
            return pauses, result
        pauses += 1


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_unjellying_pauses(name: str) -> None:
    """A long container is made in many slices; its value is the same as without them."""
    expression = EXPRESSIONS[name]
    pauses, value = paused(Unjellier().walk(expression))
    assert pauses >= (1 if name in ("dict of ints", "set", "frozenset") else 5)
    made = Unjellier().unjellyFull(expression)
    assert repr(made) == repr(value)
    assert type(made) is type(value)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_jellying_and_writing_pause(name: str) -> None:
    """A large graph is written in slices, and the bytes are those that are written without them."""
    value = Unjellier().unjellyFull(EXPRESSIONS[name])
    _, expression = paused(Jellier().walk(value))
    assert Jellier().jelly(value) == expression
    pauses, data = paused(Writer(Limits(), {}).walk(expression))
    assert pauses >= 1
    assert data == Writer(Limits(), {}).encode(expression)


def test_a_small_graph_has_no_pauses() -> None:
    """A graph of a few containers is one slice."""
    value = Unjellier().unjellyFull([b"list", *([b"list", n] for n in range(20))])
    assert paused(Jellier().walk(value))[0] == 0
    assert paused(Unjellier().walk([b"list", *([b"list", n] for n in range(20))]))[0] == 0


def test_what_changes_while_a_walk_pauses() -> None:
    """A container that is changed after the walk has entered it is sent as it was."""
    table: dict[Any, Any] = {n: [n] for n in range(N)}
    walk = Jellier().walk(table)
    assert next(walk) is UNFINISHED
    table.clear()
    table["new"] = 1
    assert len(finish(walk)) == N + 1


def test_finish() -> None:
    """What a walk yields at last is its result."""
    assert finish(iter([UNFINISHED, UNFINISHED, 5])) == 5
    assert finish(Knots().settle(0)) is None
