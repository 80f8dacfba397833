"""The states of copies: shared where the application shares them, and only there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jelly
from broker.flavors.copyable import Copyable
from jelly.jellier import Jellier


@dataclass
class Point(Copyable):
    """A copy whose fields are its state."""

    x: Any = 0
    y: Any = None


STATE = {"x": 1}


class Keeper(Copyable):
    """A copy of a class that gives all its instances one state."""

    def getStateToCopy(self) -> Any:
        """Return the state."""
        return STATE


class Bare(Copyable):
    """A copy whose attributes are its state."""

    def __init__(self, x: Any):
        self.x = x


def tags(expression: Any) -> list[bytes]:
    """The tags of references in an expression, in the order of the walk."""
    found: list[bytes] = []
    pending = [expression]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            if item and item[0] in (b"reference", b"dereference"):
                found.append(item[0])
            pending.extend(reversed(item))
    return found


def test_fields_are_not_shared() -> None:
    """Each copy has a state of its own, also where one has the address that another had."""
    expression = Jellier().jelly([Point(n, [n]) for n in range(200)])
    assert tags(expression) == []
    assert [each[1][1][1] for each in expression[1:]] == list(range(200))


def test_what_a_field_holds_is_shared() -> None:
    """A list that two copies hold is one list."""
    held: list[int] = [1]
    expression = Jellier().jelly([Point(held), Point(held)])
    assert tags(expression) == [b"reference", b"dereference"]


def test_a_copy_in_itself() -> None:
    """A copy whose field is itself is written once."""
    point = Point()
    point.x = point
    assert tags(Jellier().jelly(point)) == [b"reference", b"dereference"]


def test_a_state_of_the_application_is_shared() -> None:
    """A dict that a hook gives for two copies is one dict."""
    assert tags(Jellier().jelly([Keeper(), Keeper()])) == [b"reference", b"dereference"]


def test_attributes_are_shared() -> None:
    """The dict of attributes can be in the graph itself."""
    bare = Bare(1)
    assert tags(Jellier().jelly([bare, vars(bare)])) == [b"reference", b"dereference"]


def test_names_are_written_alike() -> None:
    """A key that is met again is written as the first time; a number that equals it is not it."""
    graph = [{"1": True, 1: "a"}, {1.0: "1", "1": 2}, {True: 1}]
    found = jelly.unjelly(Jellier().jelly(graph))
    assert repr(found) == repr(graph)
    made = Jellier().jelly([{"a": 1}, {"a": 2}, "a"])
    assert made == [
        b"list",
        [b"dictionary", [[b"unicode", b"a"], 1]],
        [b"dictionary", [[b"unicode", b"a"], 2]],
        [b"unicode", b"a"],
    ]
