"""Small graphs are what a jellier would make, and an unjellier would read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.wire import messages
from broker.core.wire.conversion import (
    NOT_SMALL,
    PLAIN,
    small_expression,
    small_value,
    with_expressions,
    with_values,
)
from jelly.errors import MalformedJelly
from jelly.jellier import Jellier
from jelly.unjellier import Unjellier

SMALL: list[Any] = [
    None, "", "é", 0, -5, 2**200, 1.5, b"", b"x", {}, (), (1,), ("a", b"b", 1, 1.5, "a", None),
    (1.5,) * 100,
]  # fmt: skip


@pytest.mark.parametrize("value", SMALL, ids=lambda value: repr(value)[:20])
def test_small_values(value: Any) -> None:
    """A value that holds no other, or a tuple of such, is made and read without a walk."""
    expression = small_expression(value)
    assert expression == Jellier().jelly(value)
    back = small_value(expression)
    assert (type(back), repr(back)) == (type(value), repr(value))


@pytest.mark.parametrize(
    "value",
    [
        True, [], [1], {"a": 1}, {1}, object(), (True,), ((),), ({},), ([],),
        type("Text", (str,), {})("x"), type("Pair", (tuple,), {})(), type("Number", (int,), {})(1),
    ],
)  # fmt: skip
def test_values_that_are_not_small(value: Any) -> None:
    """All else takes a jellier."""
    assert small_expression(value) is None


NOT_SMALL_ONES: list[Any] = [
    [], [b"None", 1], [b"list"], [b"boolean", b"true"], [b"dictionary", [1, 2]], [1],
    [[b"unicode"]], [b"tuple", [b"None", 1]], [b"tuple", []], [b"tuple", [b"tuple"]],
    [b"tuple", [1, 2]], None, "x", [b"reference", 1, [b"tuple"]], [b"remote", 5], (),
    [b"tuple", "x"], True,
]  # fmt: skip


@pytest.mark.parametrize("expression", NOT_SMALL_ONES)
def test_expressions_that_are_not_small(expression: Any) -> None:
    """They take an unjellier, which also says what is wrong with them."""
    assert small_value(expression) is NOT_SMALL


@pytest.mark.parametrize("text", [[b"unicode"], [b"unicode", b"\xff"], [b"unicode", 1, 2]])
def test_malformed_text(text: Any) -> None:
    """Text that is none is refused, as an unjellier does."""
    for expression in (text, [b"tuple", text]):
        with pytest.raises(MalformedJelly):
            small_value(expression)
        with pytest.raises(MalformedJelly):
            Unjellier().unjelly(expression)


EXPRESSIONS = st.recursive(
    st.one_of(
        st.integers(), st.floats(allow_nan=False), st.binary(max_size=3),
        st.sampled_from([b"tuple", b"unicode", b"dictionary", b"list", b"None"]),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(EXPRESSIONS)
def test_any_expression(expression: Any) -> None:
    """What is read without a walk is what an unjellier makes of it, and is refused alike."""
    try:
        value = small_value(expression)
    except MalformedJelly:
        with pytest.raises(MalformedJelly):
            Unjellier().unjelly(expression)
        return
    if value is not NOT_SMALL:
        whole = Unjellier().unjelly(expression)
        assert (type(value), repr(value)) == (type(whole), repr(whole))


KINDS: list[tuple[Any, Any, bool]] = [
    (messages.PlainCall, messages.GraphCall, True),
    (messages.PlainSend, messages.GraphCall, False),
    (messages.PlainCallToCache, messages.GraphCallToCache, True),
    (messages.PlainSendToCache, messages.GraphCallToCache, False),
]
ARGS = [b"tuple", 1, [b"unicode", b"x"]]


@pytest.mark.parametrize(("plain", "graph", "wants_answer"), KINDS)
def test_calls(plain: Any, graph: Any, wants_answer: bool) -> None:
    """A call of small expressions is one of values, with all other fields, and the way back."""
    of_values = plain(3, 5, "m", (1, "x"), {}, 250)
    of_expressions = graph(3, 5, "m", wants_answer, ARGS, [b"dictionary"], 250)
    assert (type(with_values(of_expressions)), with_values(of_expressions)) == (plain, of_values)
    back = with_expressions(of_values)
    assert (type(back), back) == (graph, of_expressions)


def test_expressions_of_any_values() -> None:
    """Plain values of any form have expressions."""
    call = messages.PlainCall(3, "root", "m", ([1, None],), {"k": {"a": True}})
    assert with_expressions(call) == messages.GraphCall(
        3, "root", "m", True, [b"tuple", [b"list", 1, [b"None"]]],
        [b"dictionary", [[b"unicode", b"k"],
                         [b"dictionary", [[b"unicode", b"a"], [b"boolean", b"true"]]]]],
    )  # fmt: skip
    assert with_expressions(messages.PlainAnswer(3, [1])) == messages.GraphAnswer(3, [b"list", 1])
    assert with_expressions(messages.PlainTuple(3, (1,))) == messages.GraphAnswer(3, [b"tuple", 1])


def test_answers() -> None:
    """An answer that is small is one of a value, a tuple too; a failure never is."""
    assert with_values(messages.GraphAnswer(3, ARGS)) == messages.PlainAnswer(3, (1, "x"))
    assert with_values(messages.GraphAnswer(3, b"x")) == messages.PlainAnswer(3, b"x")
    for message in (
        messages.GraphAnswer(3, [b"list"]),
        messages.GraphError(3, b"x"),
        messages.Ping(3),
    ):
        assert with_values(message) is message


@pytest.mark.parametrize(
    ("args", "kw"),
    [
        ([b"list"], [b"dictionary"]),
        ([b"tuple", [b"None", 1]], [b"dictionary"]),
        ([b"tuple", [b"boolean", b"true"]], [b"dictionary"]),
        ([b"unicode", b"x"], [b"dictionary"]),
        ([b"dictionary"], [b"dictionary"]),
        (5, [b"dictionary"]),
        (ARGS, [b"dictionary", [[b"unicode", b"k"], 1]]),
        (ARGS, [b"tuple"]),
        (ARGS, 5),
        ([b"tuple", [b"unicode", b"\xff"]], [b"dictionary"]),
        (ARGS, [b"unicode", b"\xff"]),
    ],
)
def test_calls_that_stay_as_they_are(args: Any, kw: Any) -> None:
    """Others, malformed ones too, are left to whoever handles them."""
    call = messages.GraphCall(3, 5, "m", True, args, kw)
    assert with_values(call) is call


def test_a_malformed_answer_stays_as_it_is() -> None:
    """It fails the call, where that is known."""
    answer = messages.GraphAnswer(3, [b"unicode", b"\xff"])
    assert with_values(answer) is answer


def test_which_hold_values() -> None:
    """The calls of values, and both kinds of answers."""
    assert {plain for plain, _, _ in KINDS} | {messages.PlainAnswer, messages.PlainTuple} == PLAIN
