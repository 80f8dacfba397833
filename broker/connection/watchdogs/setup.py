"""Timeouts of the setup of a connection: the offer and the login."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["SetupTimeouts", "Watched"]

# Seconds between two checks of a step that is late, while reading is paused.
_PERIOD = 1.0


class Watched(Protocol):
    """The connection of a watchdog."""

    @property
    def is_reading(self) -> bool:
        """Whether reading is on."""

    def abort(self, error: Exception) -> None:
        """End the connection."""


class _Step(Struct, eq=False):
    """A step that is due; the clock of ``ends`` stops while nothing is read."""

    name: str
    seconds: float
    what: str
    ends: float


class SetupTimeouts:
    """The setup timers of one connection, which end it.

    Time in which nothing is read does not count. There is one timer, for the step that is due first
    when it is set.

    Args:
        connection: is ended with PBConnectionLost, whose limit is the name of the step and
            ``_timeout``.
    """

    __slots__ = ("_allowed", "_connection", "_scheduler", "_steps", "_timer", "_timer_ends")

    def __init__(self, connection: Watched):
        self._connection = connection
        self._scheduler: Scheduler | None = None
        # None while no step is due.
        self._steps: list[_Step] | None = None
        self._timer: Cancellable | None = None
        self._timer_ends = 0.0
        # Seconds that do not count, in all.
        self._allowed = 0.0

    def begin(self, scheduler: Scheduler, name: str, seconds: float, what: str = "") -> None:
        """Take the clock, start the timers of the steps that were added before, and add a step.

        Args:
            scheduler: the clock.
            name, seconds, what: the step; see `add`.
        """
        self._scheduler = scheduler
        now = scheduler.now()
        for step in self._steps or ():
            step.ends += now
        self.add(name, seconds, what)

    def add(self, name: str, seconds: float, what: str = "") -> None:
        """End the connection unless ``done(name)`` is called in ``seconds``.

        The time counts from `begin` on.

        Args:
            name: the step, ``offer`` or ``login``.
            seconds: the value of the setting.
            what: selects the text, as in `limit_error`.
        """
        scheduler, steps = self._scheduler, self._steps
        if steps is None:
            steps = self._steps = []
        step = _Step(name, seconds, what, seconds - self._allowed)
        steps.append(step)
        if scheduler is None:
            return
        now = scheduler.now()
        step.ends += now
        first = seconds
        for other in steps:
            first = min(first, other.ends + self._allowed - now)
        if self._timer is None or now + first < self._timer_ends:
            self._stop()
            self._set(scheduler, now, max(first, 0.0))

    def done(self, name: str) -> None:
        """Forget a step that is complete, or not needed any more."""
        steps = self._steps
        if steps is not None:
            for step in steps:
                if step.name == name:
                    steps.remove(step)
                    break
            if not steps:
                self.clear()

    def allow(self, seconds: float) -> None:
        """Do not count ``seconds``, in which nothing was read."""
        self._allowed += seconds

    def clear(self) -> None:
        """Forget all steps."""
        self._steps = None
        self._stop()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the steps that are due."""
        return tuple(step.name for step in self._steps or ())

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, scheduler: Scheduler, now: float, seconds: float) -> None:
        self._timer_ends = now + seconds
        self._timer = scheduler.timeout(seconds, self._look)

    def _look(self) -> None:
        """End the connection, or wait longer."""
        self._timer = None
        scheduler = self._scheduler
        if scheduler is None or not self._steps:
            return
        now = scheduler.now()
        step = min(self._steps, key=lambda each: each.ends)
        left = step.ends + self._allowed - now
        if not self._connection.is_reading:
            self._set(scheduler, now, _PERIOD)
        elif left > _JITTER:
            self._set(scheduler, now, left)
        else:
            self._steps.remove(step)
            if self._steps:
                # Also if the connection does not end.
                self._set(scheduler, now, 0.0)
            limit = f"{step.name}_timeout"
            self._connection.abort(
                limit_error(PBConnectionLost, limit, step.seconds, what=step.what)
            )


# A timer may fire so many seconds early.
_JITTER = 0.001
