"""System events, such as startup and shutdown: calls before, during and after an event.

An event has three phases. All triggers of ``before`` are called, and their results are waited for.
Then the triggers of ``during`` are called, then those of ``after``. A trigger is called once: it is
removed before the call. An exception of a trigger is logged, and the other triggers are still
called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from broker.defer import Deferred, DeferredList, maybeDeferred, succeed
from broker.failure import Failure
from broker.printable import repr_of
from broker.traces import log_error

__all__ = ["SystemEvents", "Trigger"]

logger = logging.getLogger("broker.reactor")

PHASES = ("before", "during", "after")


class Trigger(Struct, frozen=True, eq=False):
    """A call in one phase of one event; compared by identity."""

    phase: str
    event: str
    call: Callable[[], object]


class SystemEvents:
    """The triggers of all events."""

    def __init__(self) -> None:
        self._triggers: list[Trigger] = []

    def add(self, phase: str, event: str, call: Callable[[], object]) -> Trigger:
        """Add a trigger.

        Raises:
            KeyError: there is no such phase.
        """
        if phase not in PHASES:
            raise KeyError(f"a phase is one of {', '.join(PHASES)}, not {phase!r}")
        trigger = Trigger(phase, event, call)
        self._triggers.append(trigger)
        return trigger

    def remove(self, trigger: Trigger) -> None:
        """Remove a trigger.

        Raises:
            ValueError: it was called or removed before, or is not a trigger.
        """
        if trigger not in self._triggers:
            raise ValueError("no such trigger waits: it was called or removed, or is not a trigger")
        self._triggers.remove(trigger)

    def forget(self, event: str) -> None:
        """Remove every trigger of an event."""
        self._triggers = [trigger for trigger in self._triggers if trigger.event != event]

    def fire(self, event: str) -> Deferred[None]:
        """Fire an event, in all its phases; the Deferred fires with None after the last."""
        return self.before(event).addCallback(lambda _: self.after(event))

    def before(self, event: str) -> Deferred[None]:
        """Fire the first phase; the Deferred fires with None when all results are there.

        Cancelling it cancels the results that are waited for.
        """
        results = self._call_all("before", event)
        waiting = [result for result in results if not (result.called and not result.paused)]
        if not waiting:
            return succeed(None)
        return DeferredList(waiting).addCallback(lambda _: None)

    def after(self, event: str) -> None:
        """Fire the two other phases, without waiting for results."""
        self._call_all("during", event)
        self._call_all("after", event)

    def _call_all(self, phase: str, event: str) -> list[Deferred[Any]]:
        """Call the triggers of a phase, including those that are added during the calls."""
        results = []
        while trigger := self._first(phase, event):
            self._triggers.remove(trigger)
            result = maybeDeferred(trigger.call)
            results.append(result.addErrback(partial(_log, trigger)))
        return results

    def _first(self, phase: str, event: str) -> Trigger | None:
        for trigger in self._triggers:
            if (trigger.phase, trigger.event) == (phase, event):
                return trigger
        return None


def _log(trigger: Trigger, failure: Failure) -> None:
    call = repr_of(trigger.call, 200)
    log_error(
        logger,
        f"the trigger {call}, {trigger.phase} {trigger.event}, failed",
        failure.as_exception(),
    )
