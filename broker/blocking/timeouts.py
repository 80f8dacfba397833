"""Time limits for the calls of a thread."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar, Token
from types import TracebackType

from broker import timeouts
from broker.core.calls.deadline import DEADLINE

__all__ = ["current_limit", "timeout"]

_LIMIT: ContextVar[timeout | None] = ContextVar("broker.blocking.timeout", default=None)


class timeout:
    """``with timeout(seconds):`` limits the time of the calls inside, and of all other waits.

    The limits of blocks inside each other all hold; the earliest ends the call. Calls in
    ``msgpack/1`` send the deadline, and the peer cancels its method then.

    Raises:
        CallTimeout: a call did not end in time; its method may have run.
        ConfigError: ``seconds`` is not a number. With 0 or less the time is over at once.
    """

    def __init__(self, seconds: float):
        self._seconds = timeouts.checked_seconds(seconds)
        self._end = math.inf
        self._tokens: tuple[Token[timeout | None], Token[float | None]] | None = None

    def __enter__(self) -> timeout:
        # By the clock of the loops of asyncio, and of uvloop.
        self._end = time.monotonic() + self._seconds
        outer = current_limit()
        outer_end = math.inf if outer is None else outer._end
        ends = DEADLINE.get()
        self._tokens = (
            _LIMIT.set(self if self._end < outer_end else outer),
            DEADLINE.set(self._end if ends is None else min(self._end, ends)),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._tokens is not None:
            limit, deadline = self._tokens
            _LIMIT.reset(limit)
            DEADLINE.reset(deadline)

    def in_loop(self) -> timeouts.timeout:
        """Return the rest of this limit, for ``async with`` in a task."""
        return timeouts.timeout.until(self._end, self._seconds)

    def rest(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())


def current_limit() -> timeout | None:
    """Return the block that ends first of those that this code runs in, or None."""
    return _LIMIT.get()
