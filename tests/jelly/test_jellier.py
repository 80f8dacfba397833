"""Graphs to expressions: sharing, cycles, hooks, and what may not go out."""

from __future__ import annotations

import types
from typing import Any

import pytest

from jelly.bases import Jellyable
from jelly.errors import CannotJelly, TooLarge
from jelly.jellier import Jellier
from jelly.limits import Limits
from jelly.security import SecurityOptions


class Plain:
    """An ordinary instance."""

    def __init__(self, **state: Any):
        self.__dict__.update(state)

    def method(self) -> None:
        """Do nothing."""


class Stateful(Plain):
    """An instance that says what its state is."""

    def __getstate__(self) -> Any:
        return ["state"]


class Sent(Jellyable):
    """An object with the published hooks."""

    def __init__(self, state: Any):
        self.state = state

    def getStateFor(self, jellier: Any) -> Any:
        """Return what the test wants to be sent."""
        return self.state


class Plainly(Jellyable):
    """An object that writes itself, shared or not."""

    def __init__(self, *parts: Any):
        self.parts = parts

    def jellyFor(self, jellier: Any) -> Any:
        """Write the parts."""
        expression = jellier.prepare(self)
        parts = [jellier.jelly(part) for part in self.parts]
        return jellier.preserve(self, [b"plainly", *parts]) if expression == [] else None


NOTHING = SecurityOptions()
NAME = f"{__name__}.Plain".encode()


def jelly(value: Any, security: Any = None, **options: Any) -> Any:
    """The expression of a graph."""
    return Jellier(security, **options).jelly(value)


def test_containers() -> None:
    """Each container is a list that starts with its tag; a dict's pairs have none."""
    assert jelly([1, (b"x", 1.5), {}]) == [
        b"list",
        1,
        [b"tuple", b"x", 1.5],
        [b"dictionary"],
    ]
    assert jelly({"a": [2], 1: "b"}) == [
        b"dictionary",
        [[b"unicode", b"a"], [b"list", 2]],
        [1, [b"unicode", b"b"]],
    ]
    assert jelly({"a": 1, b"b": 2}) == [b"dictionary", [[b"unicode", b"a"], 1], [b"b", 2]]
    assert jelly({5}) == [b"set", 5]
    assert jelly(frozenset({"a"})) == [b"frozenset", [b"unicode", b"a"]]


def test_sharing() -> None:
    """What is met again gets a number at its first place, and is referred to from then on."""
    shared = [1]
    assert jelly([shared, shared, (shared,)]) == [
        b"list",
        [b"reference", 1, [b"list", 1]],
        [b"dereference", 1],
        [b"tuple", [b"dereference", 1]],
    ]


def test_equal_is_not_shared() -> None:
    """Equal values that are different objects are written twice; plain values never share."""
    text = "text"
    assert jelly([[1], [1], text, text]) == [
        b"list",
        [b"list", 1],
        [b"list", 1],
        [b"unicode", b"text"],
        [b"unicode", b"text"],
    ]


def test_cycles() -> None:
    """A value that holds itself is referred to from inside."""
    loop: list[Any] = []
    loop.append((loop, {"me": loop}))
    assert jelly(loop) == [
        b"reference",
        1,
        [
            b"list",
            [
                b"tuple",
                [b"dereference", 1],
                [b"dictionary", [[b"unicode", b"me"], [b"dereference", 1]]],
            ],
        ],
    ]


def test_numbers_come_in_the_order_of_second_meetings() -> None:
    """The first value that is met again is number 1, wherever it was met first."""
    one, two = [1], [2]
    expression = jelly([one, two, two, one])
    assert expression[1] == [b"reference", 2, [b"list", 1]]
    assert expression[2] == [b"reference", 1, [b"list", 2]]
    assert expression[3:] == [[b"dereference", 1], [b"dereference", 2]]


def test_a_passing_object_is_not_taken_for_another() -> None:
    """Objects that hooks make in passing do not share an id with what comes after."""
    values = [Sent([number]) for number in range(50)]
    expression = jelly(values)
    assert [item[1] for item in expression[1:]] == [[b"list", number] for number in range(50)]


def test_hooks() -> None:
    """``jellyFor`` chooses the expression, and shares it by prepare and preserve."""
    name = f"{__name__}.Sent".encode()
    assert jelly(Sent({"a": 1})) == [name, [b"dictionary", [[b"unicode", b"a"], 1]]]
    twice = Plainly(1, [2])
    assert jelly([twice, twice]) == [
        b"list",
        [b"reference", 1, [b"plainly", 1, [b"list", 2]]],
        [b"dereference", 1],
    ]


def test_a_cycle_through_hooks() -> None:
    """An object whose state leads back to it is referred to from inside."""
    sent = Sent(None)
    sent.state = [sent]
    name = f"{__name__}.Sent".encode()
    assert jelly(sent) == [b"reference", 1, [name, [b"list", [b"dereference", 1]]]]


def test_what_hooks_see() -> None:
    """Hooks see who sends, and what the policy is."""
    seen = []

    class Looking(Jellyable):
        def jellyFor(self, jellier: Any) -> Any:
            seen.append((jellier.invoker, jellier.taster))
            return jellier.unpersistable("because")

    assert jelly(Looking(), NOTHING, invoker="me") == [b"unpersistable", b"because"]
    assert seen == [("me", NOTHING)]


def test_ordinary_instances() -> None:
    """An ordinary instance goes out with its class's name, only where that class is allowed."""
    with pytest.raises(CannotJelly, match=r"\.Plain cannot be sent: make it Copyable"):
        jelly([Plain(a=1)], NOTHING)
    allowed = SecurityOptions()
    allowed.allowInstancesOf(Plain)
    state = [b"dictionary", [[b"unicode", b"a"], 1]]
    assert jelly(Plain(a=1), allowed) == [NAME, state]
    assert jelly(Stateful()) == [
        f"{__name__}.Stateful".encode(),
        [b"list", [b"unicode", b"state"]],
    ]
    with pytest.raises(CannotJelly):
        jelly(Stateful(), allowed)


@pytest.mark.parametrize("value", [1j, object(), range(3)])
def test_what_has_no_expression(value: Any) -> None:
    """Values of other types are refused, by the name of the type."""
    with pytest.raises(CannotJelly, match=type(value).__name__):
        jelly({"key": (value,)}, NOTHING)


def test_code() -> None:
    """Classes, modules, functions and methods are named, where the policy allows them."""
    plain = Plain(a=1)
    values: list[Any] = [Plain, types, test_code, plain.method]
    for value in values:
        with pytest.raises(
            CannotJelly, match=r"the policy does not allow it|: wrap it in broker.callback$"
        ):
            jelly(value, NOTHING)
    assert jelly(Plain) == [b"class", NAME]
    assert jelly(types) == [b"module", b"types"]
    assert jelly(test_code) == [b"function", f"{__name__}.test_code".encode()]
    kind = [b"class", NAME]
    state = [b"dictionary", [[b"unicode", b"a"], 1]]
    assert jelly(plain.method) == [b"method", b"method", [NAME, state], kind]


def test_a_class_with_a_metaclass() -> None:
    """A class of any metaclass is a class."""
    special = type("Meta", (type,), {})("Special", (), {})
    assert jelly(special)[0] == b"class"


def test_persistent_store() -> None:
    """The callback may name an instance instead of having it written; None declines."""
    named, other = Plain(), Plain(a=b"x")

    def store(value: Any, jellier: Any) -> Any:
        return b"id" if value is named else None

    assert jelly([named, other], persistentStore=store) == [
        b"list",
        [b"persistent", b"id"],
        [NAME, [b"dictionary", [[b"unicode", b"a"], b"x"]]],
    ]


def test_a_million_deep(without_gc: None) -> None:
    """A graph a million deep is written without recursion.

    Work that grew faster than the depth would not end before the time limit of a test.
    """
    graph: Any = []
    for number in range(1_000_000):
        graph = ([graph], (graph,), [graph])[number % 3]
    expression = jelly(graph)
    depth = 0
    while len(expression) > 1:
        expression = expression[1]
        depth += 1
    assert depth == 1_000_000


def test_hooks_nest_as_deep_as_the_limit() -> None:
    """Hooks inside hooks end at max_depth, never in a RecursionError."""
    deep: Any = 1
    for _ in range(1000):
        deep = Plainly(deep)
    with pytest.raises(TooLarge, match=r"nesting deeper than 100 \(max_depth\)"):
        jelly([deep])
    with pytest.raises(TooLarge, match="than 5"):
        jelly(Plainly(Plainly(Plainly([Plainly([Plainly([1])])]))), limits=Limits(max_depth=5))


def test_wide_sharing_is_cheap() -> None:
    """Sixty levels that each hold the next one twice are sixty expressions."""
    graph: Any = [1]
    for _ in range(60):
        graph = [graph, graph]
    expression = jelly(graph)
    assert str(expression).count("reference") == 120
