"""Timeouts of the setup of a connection: the offer and the login."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["SetupTimeouts"]

# Seconds between two checks of a step that is late, while reading is paused.
_PERIOD = 1.0


class _Due(Struct, frozen=True):
    """The timeout of one step; the clock of ``ends`` stops while nothing is read."""

    name: str
    seconds: float
    what: str
    ends: float


class SetupTimeouts:
    """The setup timers of one connection, which end it.

    Time in which nothing is read does not count.

    Args:
        on_timeout: called with PBConnectionLost, whose limit is the name of the step and
            ``_timeout``. Also an attribute.
    """

    __slots__ = ("_allowed", "_is_reading", "_noted", "_scheduler", "_timers", "on_timeout")

    def __init__(self, on_timeout: Callable[[Exception], object]):
        self.on_timeout = on_timeout
        self._scheduler: Scheduler | None = None
        self._is_reading: Callable[[], bool] = _always
        self._noted: tuple[tuple[str, float, str], ...] = ()
        self._timers: dict[str, Cancellable] = {}
        # Seconds that do not count, in all.
        self._allowed = 0.0

    def begin(self, scheduler: Scheduler, is_reading: Callable[[], bool]) -> None:
        """Take the clock, and start the timers of the steps that were added before.

        Args:
            scheduler: the clock.
            is_reading: returns whether reading is on.
        """
        self._scheduler = scheduler
        self._is_reading = is_reading
        noted, self._noted = self._noted, ()
        for name, seconds, what in noted:
            self.add(name, seconds, what)

    def add(self, name: str, seconds: float, what: str = "") -> None:
        """End the connection unless ``done(name)`` is called in ``seconds``.

        The time counts from `begin` on.

        Args:
            name: the step, ``offer`` or ``login``.
            seconds: the value of the setting.
            what: selects the text, as in `limit_error`.
        """
        scheduler = self._scheduler
        if scheduler is None:
            self._noted += ((name, seconds, what),)
            return
        due = _Due(name, seconds, what, scheduler.now() + seconds - self._allowed)
        self._timers[name] = scheduler.timeout(seconds, self._look, due)

    def done(self, name: str) -> None:
        """Cancel the timer of a step that is complete, or not needed any more."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def allow(self, seconds: float) -> None:
        """Do not count ``seconds``, in which nothing was read."""
        self._allowed += seconds

    def clear(self) -> None:
        """Cancel all timers."""
        self._noted = ()
        for name in list(self._timers):
            self.done(name)

    def _look(self, due: _Due) -> None:
        """End the connection, or wait longer."""
        if self._scheduler is None:
            return
        left = due.ends + self._allowed - self._scheduler.now()
        if not self._is_reading():
            self._timers[due.name] = self._scheduler.timeout(_PERIOD, self._look, due)
        elif left > _JITTER:
            self._timers[due.name] = self._scheduler.timeout(left, self._look, due)
        else:
            del self._timers[due.name]
            limit = f"{due.name}_timeout"
            self.on_timeout(limit_error(PBConnectionLost, limit, due.seconds, what=due.what))


# A timer may fire so many seconds early.
_JITTER = 0.001


def _always() -> bool:
    return True
