"""Expectations: what must come in time on a connection, lest it end."""

from __future__ import annotations

from collections.abc import Callable

from broker.errors import PBConnectionLost
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["Expectations"]


class Expectations:
    """The timers of one connection that end it.

    Args:
        give_up: called with PBConnectionLost, whose text is what was expected, and the name of the
            limit: what was expected, and ``_timeout``. An attribute, too.
    """

    __slots__ = ("_noted", "_scheduler", "_timers", "give_up")

    def __init__(self, give_up: Callable[[Exception, str], object]):
        self.give_up = give_up
        self._scheduler: Scheduler | None = None
        self._noted: list[tuple[str, float, str]] = []
        self._timers: dict[str, Cancellable] = {}

    def begin(self, scheduler: Scheduler) -> None:
        """Take the clock; what was expected before counts from now on."""
        self._scheduler = scheduler
        noted, self._noted = self._noted, []
        for expectation in noted:
            self.add(*expectation)

    def add(self, name: str, seconds: float, text: str) -> None:
        """Give up with ``text`` unless ``met(name)`` comes in time, once there is a clock."""
        if self._scheduler is None:
            self._noted.append((name, seconds, text))
            return
        self._timers[name] = self._scheduler.later(
            seconds, lambda: self.give_up(PBConnectionLost(text), f"{name}_timeout")
        )

    def met(self, name: str) -> None:
        """What was expected has come, or does not matter any more."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def clear(self) -> None:
        """Expect nothing more."""
        for name in list(self._timers):
            self.met(name)
