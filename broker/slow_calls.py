"""``broker.SlowCalls``: tells of methods that have held the event loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from broker.connection.peer import Call
from broker.core.tracer import Outcome
from broker.errors import ConfigError
from broker.observers import Observer
from broker.printable import printable

__all__ = ["SlowCalls"]

logger = logging.getLogger("broker.calls")

_LONGEST_NAME = 100


class SlowCalls(Observer):
    """Logs methods that hold the event loop, as a WARNING on the logger ``broker.calls``.

    ::

        remote method 'crunch' of Office held the loop for 1.02 s; make it async, or run it in a
        thread

    While a method holds the loop, no other client is served. A plain method holds it from its call
    to its return. What an ``async def``, or a method that returns an awaitable, does between its
    waits is not seen here; ``PYTHONASYNCIODEBUG=1`` tells of that. The facts of the record are
    ``method``, ``target``, ``user`` and ``milliseconds``. Calls of the peer only.

    Args:
        after: seconds from which on it is logged.
        clock: returns the time in seconds.

    Raises:
        ConfigError: ``after`` is not a positive number.
    """

    def __init__(self, after: float = 0.1, clock: Callable[[], float] = time.perf_counter) -> None:
        if isinstance(after, bool) or not isinstance(after, int | float) or not after > 0:
            raise ConfigError("SlowCalls(after=…) takes a positive number of seconds")
        self._after = after
        self._clock = clock
        # The time at which the newest call of a peer began.
        self._newest = 0.0

    def call_started(self, call: Call) -> float | None:
        """Take the time."""
        if not call.is_incoming:
            return None
        self._newest = began = self._clock()
        return began

    def call_ended(self, token: float | None, call: Call, outcome: Outcome, error: object) -> None:
        """Log it if the call has run without a wait, and too long."""
        # A call that has waited ends outside of a turn, or in a turn of other messages: in one
        # that has called no method, or after a newer call.
        if token is None or token != self._newest or not call.connection.broker.pump.is_calling:
            return
        took = self._clock() - token
        if took >= self._after and outcome is not Outcome.REFUSED:
            self._log(call, took)

    def _log(self, call: Call, took: float) -> None:
        name = printable(call.name, _LONGEST_NAME)
        target = "an object" if call.target is None else call.target.__name__
        user = call.peer.avatar_id
        facts = {
            "event": "slow call",
            "method": name,
            "target": target,
            "user": None if user is None else printable(str(user), _LONGEST_NAME),
            "milliseconds": round(took * 1000, 3),
        }
        logger.warning(
            "remote method '%s' of %s held the loop for %.2f s; make it async, or run it in a"
            " thread",
            name,
            target,
            took,
            extra={"facts": facts},
        )
