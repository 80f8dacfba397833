"""Bridge: the object that ``await`` on a Deferred gives to the driver of the coroutine.

Theory of operation. ``await d`` on a Deferred without a result adds a Bridge to the callbacks of
``d`` and yields it. The driver of the coroutine receives the Bridge:

- An asyncio Task (in C, in Python, under uvloop) treats any object with
  ``_asyncio_future_blocking`` as a future. It compares `get_loop`, passes its wakeup to
  `add_done_callback`, calls `cancel` to stop waiting, and calls `result` when woken up. Only then
  is the loop looked up, in the asyncio that the Task has imported, so this module does not import
  asyncio.
- The driver of this library, `broker.defer.driver`, calls `when_done`, and is resumed at once.
- Twisted's driver of ``inlineCallbacks`` and of coroutines treats a Bridge as a Deferred, since it
  is registered as one. It calls `addBoth`, and `cancel` to stop waiting.

A Bridge receives the result at its place in the chain, passes it on unchanged, and wakes its one
awaiter. If several Bridges wait for one Deferred, cancelling the last of them cancels the Deferred.
That Bridge stays in the chain, so that the Deferred's CancelledError counts as handled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self, TypeAlias

from broker.defer.errors import CancelledError
from broker.defer.foreign import PLAIN
from broker.defer.registered import deferred_of_twisted, register_subclass
from broker.failure import Failure
from broker.native import native

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "PENDING",
    "Awaited",
    "Bridge",
    "TaskBridge",
    "Watcher",
    "is_asyncio_cancellation",
    "refuse_ignored",
    "running_loop",
]


class Awaited(Protocol):
    """The methods of a Deferred that a Bridge needs."""

    _items: list[object] | None

    def cancel(self) -> None:
        """Ask for an early end."""


class Watcher:
    """An observer of a Deferred that uses its result, and is no Bridge.

    Attributes:
        is_waiting: whether it counts as an awaiter, so that the Deferred is not cancelled.
    """

    __slots__ = ()

    @property
    def is_waiting(self) -> bool:
        """See the class."""
        return False

    def deliver(self, result: object, loop: asyncio.AbstractEventLoop | None = None) -> bool | None:
        """Receive the result; True if a failure does not count as handled by that."""
        raise NotImplementedError


class _NoOutcome:
    """The outcome of a Bridge without one: it is pending, or its awaiter has stopped waiting."""

    __slots__ = ("message",)

    def __init__(self, message: object = None):
        self.message = message


PENDING = _NoOutcome()

Wakeup: TypeAlias = Callable[[Any], object]
"""What is called with a Bridge that has an outcome."""

_IGNORED = (
    "a coroutine that awaits a Deferred was resumed without a result: its driver is neither"
    " asyncio nor Twisted nor broker.defer; give it d.asTwisted() or d.asFuture(loop), whichever it"
    " can wait for"
)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, or None; never imports asyncio."""
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()


def is_asyncio_cancellation(exc: BaseException) -> bool:
    """Return whether `exc` is asyncio's CancelledError; never imports asyncio."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(exc, exceptions.CancelledError)


class PythonBridgeBase:
    """What each `await` of a Deferred uses of a Bridge.

    Attributes:
        outcome: the result or the Failure, or PENDING.
    """

    __slots__ = ("_asyncio_future_blocking", "_deferred", "_loop", "_wakeups", "outcome")

    def __init__(self, deferred: Awaited):
        self._asyncio_future_blocking = True
        self._deferred = deferred
        self.outcome: object = PENDING
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakeups: list[tuple[Wakeup, Context | None]] | None = None
        if deferred._items is None:
            deferred._items = [self]
        else:
            deferred._items.append(self)

    # Called by the Deferred.

    def deliver(self, result: object, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Receive the Deferred's result, and wake the awaiter; ``loop`` is of `Chain.fire`."""
        if self.outcome is PENDING:
            self.outcome = result
            if self._wakeups is not None:
                self._wake(loop)

    # Called by an asyncio Task.

    def get_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the running loop."""
        if self._loop is None:
            self._loop = running_loop()
        return self._loop

    def add_done_callback(self, callback: Wakeup, *, context: Context | None = None) -> None:
        """Let the loop call `callback` with this Bridge when there is an outcome."""
        wakeups = self._wakeups
        if wakeups is None:
            self._wakeups = [(callback, context)]
        else:
            wakeups.append((callback, context))
        if self._loop is None:
            self.get_loop()
        if self.outcome is not PENDING:
            self._wake()

    def result(self) -> object:
        """Return the result or raise the exception, as ``result`` of a future does."""
        if self.outcome.__class__ in PLAIN:
            return self.outcome
        try:
            return self._outcome_of()
        finally:
            # This frame is in the traceback of a failure; see `broker.failure`.
            del self

    def _outcome_of(self) -> object:
        raise NotImplementedError

    def _wake(self, stepped: asyncio.AbstractEventLoop | None = None) -> None:
        """Wake the awaiter: a task of the loop ``stepped`` now, other tasks by their loop."""
        wakeups, self._wakeups = self._wakeups or (), None
        loop = self._loop
        for callback, context in wakeups:
            if loop is None:
                callback(self)
            elif stepped is loop and context is not None:
                try:
                    context.run(callback, self)
                except RuntimeError:
                    # The context is in use: this callback of the loop runs in the task's context.
                    loop.call_soon(callback, self, context=context)
            else:
                loop.call_soon(callback, self, context=context)


if TYPE_CHECKING:
    BridgeBase = PythonBridgeBase
else:
    BridgeBase = PythonBridgeBase if native is None else native.BridgeBase


@deferred_of_twisted
class Bridge(BridgeBase):
    """One awaiter of one Deferred, which its driver sees as a future.

    The constructor appends it to the Deferred's chain.
    """

    __slots__ = ()

    # Called by the driver of this library.

    def when_done(self, resume: Callable[[Bridge], object]) -> None:
        """Call `resume` with this Bridge when there is an outcome, at once if there is one."""
        if self.outcome is PENDING:
            self._wakeups = [(resume, None)]
        else:
            resume(self)

    def interrupt(self) -> None:
        """Cancel the Deferred if it has no other awaiter, else fail only this awaiter.

        In both cases the awaiter ends with the Deferred's outcome or with CancelledError.
        """
        if self.outcome is PENDING:
            if self._is_last():
                self._deferred.cancel()
            else:
                self.withdraw()
                self.deliver(Failure(CancelledError()))

    def withdraw(self) -> None:
        """Leave the Deferred's chain, since the awaiter has ended; nothing is cancelled."""
        callbacks = self._deferred._items
        if callbacks is not None and self in callbacks:
            callbacks.remove(self)

    # Called by Twisted's driver of coroutines, as is `cancel`.

    def addBoth(self, callback: Callable[..., object], *args: object, **kwargs: object) -> Self:
        """Call ``callback(outcome, *args, **kwargs)`` once, with a result or a Failure."""
        self.when_done(lambda _: callback(self.outcome, *args, **kwargs))
        return self

    # Called by an asyncio Task, besides the methods of `PythonBridgeBase`.

    def cancel(self, msg: object = None) -> bool:
        """Stop waiting: a Task gets asyncio's CancelledError. False if there is an outcome.

        Twisted's driver of coroutines gets the outcome of `interrupt`.
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
        """Return whether there is an outcome."""
        return self.outcome is not PENDING

    def cancelled(self) -> bool:
        """Return whether the awaiter has stopped waiting."""
        return isinstance(self.outcome, _NoOutcome) and self.outcome is not PENDING

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
            if isinstance(item, Bridge):
                if item is not self and item.outcome is PENDING:
                    return False
            elif isinstance(item, Watcher) and item.is_waiting:
                return False
        return True

    def _outcome_of(self) -> object:
        """Return the result or raise the exception, of an outcome of any type."""
        outcome = self.outcome
        if isinstance(outcome, Failure):
            try:
                outcome.raiseException()
            finally:
                del outcome, self
        if isinstance(outcome, _NoOutcome):
            self._raise_no_outcome(outcome)
        return outcome

    # Called by a coroutine, to which a Bridge in C is also the iterator of its `await`.

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
        /,
    ) -> NoReturn:
        """Raise the exception in the coroutine, which waits no longer; as ``throw`` of a generator.

        Raises:
            RuntimeError: the exception is a StopIteration.
        """
        self.close()
        if isinstance(typ, BaseException):
            exc = typ
        elif isinstance(val, typ):
            exc = val
        else:
            exc = typ(*(() if val is None else val if isinstance(val, tuple) else (val,)))
        if isinstance(exc, StopIteration):
            # Else the coroutine would take it for the result, as of any iterator.
            raise RuntimeError("a Deferred raised StopIteration") from exc
        try:
            raise exc if tb is None else exc.with_traceback(tb)
        finally:
            del exc, typ, val, tb, self

    def close(self) -> None:
        """Wait no longer: the coroutine has ended."""
        if self.outcome is PENDING:
            self.withdraw()


if native is not None:
    native.use_bridge(Bridge, PENDING, running_loop)


@register_subclass
class TaskBridge(Bridge):
    """The Bridge of a Task that was created from the Deferred itself: ``create_task(d)``.

    Several Tasks may be created from one Deferred, so the Deferred stores nothing about them
    between calls of `send`. A woken Task first calls `result`, and throws the exception that it
    raises into its coroutine. So the result is passed as a StopIteration. The Deferred's `throw`
    raises it again, as a coroutine does to return.
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
        """Return what `result` raises, as a Failure; a driver that resumes at once throws it.

        Such a driver resumes the Deferred within the chain, where `send` finds no result yet.
        """
        try:
            self.result()
        except BaseException as exc:  # noqa: BLE001 - passed to the driver
            return Failure(exc)

    def addBoth(self, callback: Callable[..., object], *args: object, **kwargs: object) -> Self:
        """Call ``callback(failure, *args, **kwargs)`` once with the `ending`."""
        self.when_done(lambda _: callback(self.ending(), *args, **kwargs))
        return self


def refuse_ignored(items: list[object] | None) -> None:
    """Raise RuntimeError if one of these items is a TaskBridge without a waiting driver.

    A driver that receives a TaskBridge asks to be woken before it does anything else. A driver that
    ignores it and takes another step would take the same step without end.
    """
    for item in items or ():
        if isinstance(item, TaskBridge) and item.outcome is PENDING and item._wakeups is None:
            raise RuntimeError(_IGNORED)
