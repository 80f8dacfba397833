"""Values that are waited for: put off inside out, done at the end, or refused."""

from __future__ import annotations

import pytest

from jelly.errors import MalformedJelly
from jelly.knots import Knot, Knots, tie
from jelly.slices import finish


def test_tie() -> None:
    """Knots are replaced in place by their values; other values stay."""
    knot = Knot()
    knot.value = "value"
    values = [1, knot, [knot], knot]
    tie(values)
    assert values == [1, "value", [knot], "value"]


def test_a_knot_that_was_never_tied() -> None:
    """A knot without a value means that a value contains itself."""
    with pytest.raises(MalformedJelly, match="tuple contains itself"):
        tie([1, Knot()])


def test_a_knot_may_stand_for_none() -> None:
    """None is a value like any other."""
    knot = Knot()
    knot.value = None
    values = [knot]
    tie(values)
    assert values == [None]


def test_settle() -> None:
    """Work is done in the order in which it was put off, once, and only that since the mark."""
    knots, done = Knots(), []
    assert not knots.are_used
    knots.wait(lambda: done.append("outer"))
    since = knots.mark()
    knots.wait(lambda: done.append("first"))
    knots.wait(lambda: done.append("second"))
    finish(knots.settle(since))
    assert done == ["first", "second"]
    finish(knots.settle(0))
    assert done == ["first", "second", "outer"]
    finish(knots.settle(0))
    assert len(done) == 3
