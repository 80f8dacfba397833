"""The deadline of an incoming call: the time at which its caller stops waiting.

On the wire, a call has a number of milliseconds, counted from the arrival of its last byte. In this
library a deadline is a time in seconds, by the clock of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

__all__ = ["DEADLINE", "call_until"]

Result = TypeVar("Result")

DEADLINE: ContextVar[float | None] = ContextVar("broker.deadline", default=None)
"""The deadline of the running code, by the clock of its loop, or None.

Set by the innermost ``broker.timeout`` around the code, or by the caller of the running method.
"""


def call_until(due: float, function: Callable[..., Result], *args: object) -> Result:
    """Call a function with ``due`` as its deadline; tasks that it starts keep the deadline."""
    token = DEADLINE.set(due)
    try:
        return function(*args)
    finally:
        DEADLINE.reset(token)
