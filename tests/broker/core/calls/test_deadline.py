"""Deadlines, and those that do not hold any more when they have passed."""

from __future__ import annotations

from contextvars import Context

from broker.core.calls.deadline import DEADLINE, Lapsing, deadline_at, held, lapsing


def test_a_deadline() -> None:
    """It holds also when it has passed."""
    context = Context()
    assert context.run(deadline_at, 1.0) is None
    context.run(DEADLINE.set, 5.0)
    assert context.run(deadline_at, 1.0) == context.run(deadline_at, 9.0) == 5.0
    assert held(None, 1.0) is None


def test_one_that_lapses() -> None:
    """It holds until it has passed; the context that it was made of keeps its own."""
    context = Context()
    assert lapsing(context) is context
    context.run(DEADLINE.set, 5.0)
    made = lapsing(context)
    assert made.run(deadline_at, 4.9) == 5.0
    assert made.run(deadline_at, 5.0) is None
    assert type(context[DEADLINE]) is float
    assert held(Lapsing(5.0), 6.0) is None
