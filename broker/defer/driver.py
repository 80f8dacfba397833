"""Driver: runs a coroutine step by step without an asyncio Task.

A coroutine may yield four things to it: a Bridge (an ``await`` on a Deferred of this library), a
Twisted Deferred, an asyncio future, and None (``asyncio.sleep(0)``). A generator of
`inlineCallbacks` is first turned into a coroutine, in which ``yield x`` is ``await x``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from types import CoroutineType, GeneratorType
from typing import Any, Protocol, TypeAlias

from broker.defer.awaiting import Bridge, TaskBridge, is_asyncio_cancellation, running_loop
from broker.defer.errors import CancelledError
from broker.defer.foreign import Cancellable, failure_of, is_twisted_deferred, is_twisted_failure
from broker.failure import Failure

__all__ = ["Driver", "ReturnValue", "Steps", "awaiting_yields"]

# ``send`` or ``throw`` of a coroutine.
_Proceed: TypeAlias = Callable[[Any], object]


class ReturnValue(BaseException):
    """Ends a generator of `inlineCallbacks` with a value; raised by the published `returnValue`."""

    def __init__(self, value: object):
        super().__init__(value)
        self.value = value


class Steps(Protocol):
    """The methods of a coroutine or generator that a Driver needs to run it."""

    def send(self, value: Any, /) -> object:
        """Run until it yields."""

    def throw(self, error: BaseException, /) -> object:
        """Raise `error` where it waits, and run until it yields."""


class Fired(Protocol):
    """The methods of a Deferred that a Driver needs to fire it."""

    def callback(self, result: object) -> None:
        """Fire with a result."""

    def errback(self, fail: Failure) -> None:
        """Fire with a failure."""


class Driver:
    """Runs `coroutine` and fires `deferred` with what it returns or raises.

    `context` is the contextvars context of every step, by default a copy of the current one. No
    other coroutine may be running in it. `start` takes the first step.
    """

    __slots__ = ("_context", "_coroutine", "_deferred", "_is_interrupted", "_waiting_for")

    def __init__(self, coroutine: Steps, deferred: Fired, context: Context | None = None):
        self._coroutine = coroutine
        self._deferred = deferred
        self._context = copy_context() if context is None else context
        self._waiting_for: Bridge | Cancellable | None = None
        self._is_interrupted = False

    def start(self) -> None:
        """Run the coroutine until it waits or ends."""
        self._step(self._coroutine.send, None)

    def cancel(self) -> None:
        """Cancel the object that the coroutine waits for; the coroutine may handle the
        cancellation.
        """
        waiting_for = self._waiting_for
        if waiting_for is None:
            self._is_interrupted = True
        elif isinstance(waiting_for, Bridge):
            waiting_for.interrupt()
        else:
            waiting_for.cancel()

    def _step(self, proceed: _Proceed, value: object) -> None:
        self._waiting_for = None
        while True:
            if self._is_interrupted and proceed == self._coroutine.send:
                self._is_interrupted = False
                proceed, value = self._coroutine.throw, CancelledError()
            try:
                yielded = self._context.run(proceed, value)
            except StopIteration as stop:
                result = stop.value
                break
            except BaseException as exc:  # noqa: BLE001 - any end of the coroutine is a result
                self._fail(exc)
                return
            if self._wait_for(yielded):
                if self._is_interrupted:
                    self._is_interrupted = False
                    self.cancel()
                return
            proceed, value = self._after(yielded)
        # Outside the handler, so that StopIteration is not the context of a callback's exception.
        self._deferred.callback(result)

    def _fail(self, exc: BaseException) -> None:
        if is_asyncio_cancellation(exc):
            # In a callback chain this does not cancel a task: it is an ordinary result.
            exc = CancelledError(*exc.args).with_traceback(exc.__traceback__)
        # The traceback begins in the coroutine, not here.
        exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next
        self._deferred.errback(Failure(exc))

    def _wait_for(self, yielded: Any) -> bool:
        """Arrange to be resumed when `yielded` is done; False if there is nothing to wait for."""
        if isinstance(yielded, Bridge):
            self._waiting_for = yielded
            yielded.when_done(self._resume)
        elif is_twisted_deferred(yielded):
            self._waiting_for = yielded
            yielded.addBoth(self._resume_with)
        elif getattr(yielded, "_asyncio_future_blocking", None):
            yielded._asyncio_future_blocking = False
            self._waiting_for = yielded
            yielded.add_done_callback(self._resume)
        else:
            loop = running_loop() if yielded is None else None
            if loop is None:
                return False
            loop.call_soon(self._resume, None)
        return True

    def _after(self, yielded: object) -> tuple[_Proceed, object]:
        """Return how to continue after an object that needs no waiting."""
        if yielded is None:
            return self._coroutine.send, None
        problem = f"a coroutine run by broker.defer cannot await a {type(yielded).__name__}"
        return self._coroutine.throw, TypeError(problem)

    def _resume(self, done: object) -> None:
        if isinstance(done, TaskBridge):
            self._step(self._coroutine.throw, done.ending().as_exception())
            return
        # When resumed, the awaitable itself returns or raises its result.
        self._step(self._coroutine.send, None)

    def _resume_with(self, result: object) -> None:
        """Continue with the result of a Twisted Deferred, and consume it."""
        if is_twisted_failure(result):
            self._step(self._coroutine.throw, failure_of(result).as_exception())
        else:
            self._step(self._coroutine.send, result)


def awaiting_yields(generator: Generator[object, Any, object]) -> Generator[object, object, Any]:
    """Run a generator of `inlineCallbacks` as a coroutine.

    A yielded awaitable, coroutine or generator is awaited; any other value is sent back.
    """
    proceed: _Proceed = generator.send
    value: object = None
    yielded: object = None
    while True:
        try:
            yielded = proceed(value)
        except StopIteration as stop:
            return stop.value
        except ReturnValue as returned:
            return returned.value
        finally:
            # A variable would keep the value alive until the next one comes, and an exception
            # without limit: this frame is in its traceback.
            value = None
        proceed = generator.send
        try:
            if getattr(yielded, "_asyncio_future_blocking", None):
                # The generator used ``yield from`` on a Deferred, and this is the Bridge that it
                # yields.
                value = yield yielded
            elif isinstance(yielded, GeneratorType):
                value = yield from awaiting_yields(yielded)
            elif isinstance(yielded, CoroutineType) or hasattr(yielded, "__await__"):
                value = yield from yielded.__await__()
            else:
                value = yielded
        except BaseException as exc:  # noqa: BLE001 - thrown into the generator
            proceed, value = generator.throw, exc
        finally:
            # A Deferred holds its own result.
            yielded = None
