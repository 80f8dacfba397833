"""When a call of the peer's is due: the moment at which its caller waits no longer.

On the wire a call has a number of milliseconds, which count from the moment when its frame has come
whole. Here it is seconds by the clock of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

__all__ = ["DEADLINE", "call_until"]

DEADLINE: ContextVar[float | None] = ContextVar("broker.deadline", default=None)
"""When the code that runs must have ended, by the clock of its loop; or None.

The innermost ``broker.timeout`` around it says so, or whoever has called the method that runs.
"""


def call_until(due: float, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function whose own calls end when ``due`` is; what it starts keeps that."""
    token = DEADLINE.set(due)
    try:
        return function(*args)
    finally:
        DEADLINE.reset(token)
