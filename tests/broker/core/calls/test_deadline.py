"""A function that is called until some moment."""

from __future__ import annotations

import contextvars

import pytest

from broker.core.calls.deadline import DEADLINE, call_until


def test_it_holds_while_the_function_runs_and_in_what_it_starts() -> None:
    """Not after it, whether it returns or raises."""
    assert call_until(5.0, DEADLINE.get) == 5.0
    assert call_until(5.0, contextvars.copy_context)[DEADLINE] == 5.0
    with pytest.raises(ZeroDivisionError):
        call_until(5.0, divmod, 1, 0)
    assert DEADLINE.get() is None


def test_one_inside_another() -> None:
    """The outer holds again when the inner has returned."""

    def outer() -> tuple[float | None, float | None]:
        return call_until(3.0, DEADLINE.get), DEADLINE.get()

    assert call_until(5.0, outer) == (3.0, 5.0)
