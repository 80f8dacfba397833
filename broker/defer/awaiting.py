"""Bridge: what an ``await`` on a Deferred hands to whoever runs the coroutine.

Theory of operation. ``await d`` on a Deferred without a result puts one Bridge among the callbacks
of ``d`` and yields it. Whoever drives the coroutine takes it from there:

- An asyncio Task (in C, in Python, under uvloop) takes any object with ``_asyncio_future_blocking``
  for a future. It compares `get_loop`, gives its wakeup to `add_done_callback`, calls `cancel` to
  stop waiting, and `result` when woken up. The loop is asked for only then, of the asyncio that
  the Task has imported: this module needs none.
- Our own `broker.defer.driver` calls `when_done`, and is resumed at once.
- Twisted's driver, of ``inlineCallbacks`` and of coroutines, takes a Bridge for a Deferred, since
  it is registered as one. It calls `addBoth`, and `cancel` to stop waiting.

A Bridge sees the result at its place in the chain, lets it pass on unchanged, and wakes its one
awaiter. Of several Bridges on one Deferred the last to be cancelled cancels the Deferred; it stays
in the chain, so that the CancelledError of the Deferred counts as handled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, Self

from broker.defer.errors import CancelledError
from broker.defer.foreign import PLAIN
from broker.defer.registered import deferred_of_twisted, register_subclass
from broker.failure import Failure

__all__ = [
    "PENDING",
    "Awaited",
    "Bridge",
    "TaskBridge",
    "is_asyncio_cancellation",
    "refuse_ignored",
    "running_loop",
]


class Awaited(Protocol):
    """What a Bridge needs of its Deferred."""

    _items: list[Any] | None

    def cancel(self) -> None:
        """Ask for an early end."""


class _NoOutcome:
    """Stands for the outcome of a Bridge that has none: still pending, or its awaiter has gone."""

    __slots__ = ("message",)

    def __init__(self, message: Any = None):
        self.message = message


PENDING = _NoOutcome()

_IGNORED = (
    "a coroutine that awaits a Deferred was resumed without a result: what drives it is neither"
    " asyncio nor Twisted nor broker.defer; give it d.asTwisted() or d.asFuture(loop), whichever it"
    " can wait for"
)


def running_loop() -> Any:
    """Return the asyncio loop that runs in this thread, or None; never imports asyncio."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def is_asyncio_cancellation(exc: BaseException) -> bool:
    """Tell whether `exc` is asyncio's CancelledError; never imports asyncio."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(exc, exceptions.CancelledError)


@deferred_of_twisted
class Bridge:
    """One awaiter of one Deferred, seen by its driver as a future.

    The constructor puts it at the end of the Deferred's chain.

    Attributes:
        outcome: the result or the Failure, or PENDING.
    """

    __slots__ = ("_asyncio_future_blocking", "_deferred", "_loop", "_wakeups", "outcome")

    def __init__(self, deferred: Awaited):
        self._asyncio_future_blocking = True
        self._deferred = deferred
        self.outcome: Any = PENDING
        self._loop: Any = None
        self._wakeups: list[tuple[Callable[[Any], object], Any]] | None = None
        if deferred._items is None:
            deferred._items = [self]
        else:
            deferred._items.append(self)

    # What the Deferred calls.

    def deliver(self, result: Any) -> None:
        """Take the Deferred's result, and wake the awaiter."""
        if self.outcome is PENDING:
            self.outcome = result
            if self._wakeups is not None:
                self._wake()

    # What our own driver calls.

    def when_done(self, resume: Callable[[Any], object]) -> None:
        """Call `resume` with this Bridge as soon as there is an outcome, at once if there is."""
        if self.outcome is PENDING:
            self._wakeups = [(resume, None)]
        else:
            resume(self)

    def interrupt(self) -> None:
        """Cancel the Deferred if nobody else awaits it, else fail this awaiter alone.

        Either way the awaiter ends with what the Deferred ends with, or with CancelledError.
        """
        if self.outcome is PENDING:
            if self._is_last():
                self._deferred.cancel()
            else:
                self.withdraw()
                self.deliver(Failure(CancelledError()))

    def withdraw(self) -> None:
        """Leave the Deferred's chain: the awaiter has gone, and nobody cancels anything."""
        callbacks = self._deferred._items
        if callbacks is not None and self in callbacks:
            callbacks.remove(self)

    # What the driver of Twisted's coroutines calls, and `cancel`.

    def addBoth(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Self:
        """Call ``callback(outcome, *args, **kwargs)`` once, with a result or a Failure."""
        self.when_done(lambda _: callback(self.outcome, *args, **kwargs))
        return self

    # What an asyncio Task calls.

    def get_loop(self) -> Any:
        """Return the running loop."""
        if self._loop is None:
            self._loop = running_loop()
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Any = None) -> None:
        """Have the loop call `callback` with this Bridge once there is an outcome."""
        wakeups = self._wakeups
        if wakeups is None:
            self._wakeups = [(callback, context)]
        else:
            wakeups.append((callback, context))
        if self._loop is None:
            self.get_loop()
        if self.outcome is not PENDING:
            self._wake()

    def cancel(self, msg: Any = None) -> bool:
        """Stop waiting: a Task gets asyncio's CancelledError. False if there is an outcome.

        The driver of Twisted's coroutines gets what `interrupt` leads to.
        """
        if self.outcome is not PENDING:
            return False
        if self._loop is None and self._wakeups is not None:
            self.interrupt()
            return True
        is_last = self._is_last()
        self.outcome = _NoOutcome(msg)
        if self._wakeups is not None:
            self._wake()
        if is_last:
            self._deferred.cancel()
        else:
            self.withdraw()
        return True

    def done(self) -> bool:
        """Tell whether there is an outcome."""
        return self.outcome is not PENDING

    def cancelled(self) -> bool:
        """Tell whether the awaiter has stopped waiting."""
        return isinstance(self.outcome, _NoOutcome) and self.outcome is not PENDING

    def result(self) -> Any:
        """Return the result or raise the exception, as the result of a future does."""
        outcome = self.outcome
        if outcome.__class__ in PLAIN:
            return outcome
        if isinstance(outcome, Failure):
            try:
                outcome.raiseException()
            finally:
                del outcome, self
        if isinstance(outcome, _NoOutcome):
            self._raise_no_outcome(outcome)
        return outcome

    def exception(self) -> BaseException | None:
        """Return the exception, or None if there is a result."""
        outcome = self.outcome
        if isinstance(outcome, _NoOutcome):
            self._raise_no_outcome(outcome)
        return outcome.as_exception() if isinstance(outcome, Failure) else None

    def _raise_no_outcome(self, outcome: _NoOutcome) -> NoReturn:
        if outcome is PENDING:
            raise RuntimeError(_IGNORED)
        exceptions = sys.modules["asyncio.exceptions"]
        raise exceptions.CancelledError(*(() if outcome.message is None else (outcome.message,)))

    def _is_last(self) -> bool:
        for item in self._deferred._items or ():
            if isinstance(item, Bridge) and item is not self and item.outcome is PENDING:
                return False
        return True

    def _wake(self) -> None:
        wakeups, self._wakeups = self._wakeups or (), None
        loop = self._loop
        for callback, context in wakeups:
            if loop is None:
                callback(self)
            else:
                loop.call_soon(callback, self, context=context)


@register_subclass
class TaskBridge(Bridge):
    """The Bridge of a Task that was made of the Deferred itself: ``create_task(d)``.

    Several Tasks may be made of one Deferred, which therefore keeps nothing about them between
    `send` and `send`. A woken Task first asks for `result`, and throws what that raises into its
    coroutine; so the result travels as a StopIteration, which the Deferred's `throw` raises again,
    and which is how a coroutine returns.
    """

    __slots__ = ()

    def result(self) -> NoReturn:
        """Raise the exception, or StopIteration with the result."""
        outcome = self.outcome
        if outcome.__class__ in PLAIN:
            raise StopIteration(outcome)
        try:
            raise StopIteration(super().result())
        finally:
            del outcome, self

    def ending(self) -> Failure:
        """Return what `result` raises: what a driver that resumes at once throws into the Deferred.

        It resumes it within the chain, where `send` finds no result yet.
        """
        try:
            self.result()
        except BaseException as exc:  # noqa: BLE001 - it is handed to the driver
            return Failure(exc)

    def addBoth(self, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Self:
        """Call ``callback(failure, *args, **kwargs)`` once with the `ending`."""
        self.when_done(lambda _: callback(self.ending(), *args, **kwargs))
        return self


def refuse_ignored(items: list[Any] | None) -> None:
    """Raise RuntimeError if one of these items is a TaskBridge for which nobody waits.

    Whoever is given one asks to be woken before anything else happens. Who does not, and takes
    another step, would take the same step for ever.
    """
    for item in items or ():
        if isinstance(item, TaskBridge) and item.outcome is PENDING and item._wakeups is None:
            raise RuntimeError(_IGNORED)
