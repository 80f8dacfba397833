"""Limits how long a peer may leave sent bytes unread."""

from __future__ import annotations

from collections.abc import Callable

from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["WriteStallWatchdog"]

# Seconds between two checks, and how long a peer above max_unsent may take no bytes at all. A
# shorter time would end the connection of a peer that reads, if this side sends more than
# max_unsent in one turn of its loop.
_PERIOD = 1.0


class WriteStallWatchdog:
    """Watches while many bytes are unsent, and ends the connection of a peer that does not read.

    The peer does not read if it takes no bytes for ``stall_timeout``. With more than ``max_unsent``
    bytes unsent, it does not read if it takes no bytes for a second, or if the number stays above
    ``max_unsent`` for ``stall_timeout``.

    Args:
        scheduler: the clock.
        policy: the limits and times.
        unsent: returns the number of unsent bytes.
        stats: has the number of bytes written so far, including the unsent ones.
        on_timeout: called with PBConnectionLost, which has the attributes of the limit.
    """

    __slots__ = (
        "_last_below",
        "_last_progress",
        "_on_timeout",
        "_policy",
        "_scheduler",
        "_stats",
        "_taken",
        "_timer",
        "_unsent",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        policy: Policy,
        unsent: Callable[[], int],
        stats: Stats,
        on_timeout: Callable[[Exception], object],
    ):
        self._scheduler = scheduler
        self._policy = policy
        self._unsent = unsent
        self._stats = stats
        self._on_timeout = on_timeout
        self._timer: Cancellable | None = None
        self._taken = 0
        self._last_progress = self._last_below = 0.0

    def watch(self) -> None:
        """Start the checks, which go on until few bytes are unsent."""
        if self._timer is None:
            self._last_progress = self._last_below = self._scheduler.now()
            self._taken = self._stats.bytes_sent - self._unsent()
            self._timer = self._scheduler.timeout(_PERIOD, self._look)

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        policy, now, unsent = self._policy, self._scheduler.now(), self._unsent()
        if unsent <= policy.high_water:
            return
        taken = self._stats.bytes_sent - unsent
        if taken > self._taken:
            self._taken, self._last_progress = taken, now
        if unsent <= policy.max_unsent:
            self._last_below = now
        idle, above = now - self._last_progress, now - self._last_below
        if idle >= policy.stall_timeout or (
            unsent > policy.max_unsent and (idle >= 0.9 * _PERIOD or above >= policy.stall_timeout)
        ):
            self._on_timeout(
                limit_error(PBConnectionLost, "max_unsent", policy.max_unsent, unsent)
                if unsent > policy.max_unsent
                else limit_error(
                    PBConnectionLost, "stall_timeout", policy.stall_timeout, idle, unsent=unsent
                )
            )
            return
        self._timer = self._scheduler.timeout(_PERIOD, self._look)
