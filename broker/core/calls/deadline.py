"""The deadline of an incoming call: the time at which its caller stops waiting.

On the wire, a call has a number of milliseconds, counted from the arrival of its last byte. In this
library a deadline is a time in seconds, by the clock of the connection.
"""

from __future__ import annotations

from contextvars import Context, ContextVar

__all__ = ["DEADLINE", "Lapsing", "deadline_at", "held", "lapsing"]

DEADLINE: ContextVar[float | None] = ContextVar("broker.deadline", default=None)
"""The deadline of the running code, by the clock of its loop, or None.

Set by the innermost ``broker.timeout`` around the code, or by the caller of the running method.
"""


class Lapsing(float):
    """A deadline that does not hold any more when it has passed.

    The code that makes the items of a stream may go on after the deadline of the call that has
    opened the stream.
    """

    __slots__ = ()


def lapsing(context: Context) -> Context:
    """Return contextvars whose deadline, if there is one, is a `Lapsing`: a copy, or themselves."""
    due = context.get(DEADLINE)
    if due is None:
        return context
    copy = context.copy()
    copy.run(DEADLINE.set, Lapsing(due))
    return copy


def deadline_at(now: float) -> float | None:
    """Return the deadline of the running code at a time, or None."""
    return held(DEADLINE.get(), now)


def held(due: float | None, now: float) -> float | None:
    """Return a deadline; None if it is a `Lapsing` that has passed."""
    return None if type(due) is Lapsing and due <= now else due
