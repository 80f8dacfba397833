"""The published module of Deferreds: every name of ``twisted.internet.defer``.

It also has `drive`, which runs a coroutine without an event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from functools import wraps
from types import GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from broker.defer.aggregates import FAILURE, SUCCESS, DeferredList, gatherResults, race
from broker.defer.deferred import Clock, Deferred, invoke, to_deferred
from broker.defer.driver import ReturnValue
from broker.defer.errors import (
    AlreadyCalledError,
    CancelledError,
    FailureGroup,
    FirstError,
    NotACoroutineError,
    QueueOverflow,
    QueueUnderflow,
    TimeoutError,
)
from broker.defer.foreign import is_twisted_deferred
from broker.defer.locks import DeferredLock, DeferredQueue, DeferredSemaphore
from broker.failure import Failure

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "CancelledError",
    "Clock",
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "drive",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "getDebugging",
    "inlineCallbacks",
    "logError",
    "maybeDeferred",
    "race",
    "returnValue",
    "setDebugging",
    "succeed",
    "to_deferred",
]

T = TypeVar("T")
P = ParamSpec("P")

_logger = logging.getLogger("broker.defer")


def succeed(result: T) -> Deferred[T]:
    """Return a Deferred that already has `result` (published)."""
    deferred: Deferred[T] = Deferred()
    deferred.fire(result)
    return deferred


def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """Return a Deferred that has already failed; default: with the exception being handled.

    Raises:
        NoCurrentExceptionError: there is no argument, and no exception is being handled.
    """
    deferred: Deferred[object] = Deferred()
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call `callable` and return a Deferred of what it returned or raised (published)."""
    try:
        result = callable(*args, **kwargs)
    except BaseException as exc:  # noqa: BLE001 - as in Twisted, any exception is the result
        return fail(exc)
    return succeed(result)


@overload
def maybeDeferred(
    f: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]: ...


@overload
def maybeDeferred(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...


def maybeDeferred(f: Callable[..., object], *args: object, **kwargs: object) -> Deferred[Any]:
    """Call `f` and return a Deferred of its result, of whatever kind (published).

    `f` may return a plain value, a Failure, a Deferred of this library or of Twisted, or any
    awaitable. It may be ``async def``; it then runs in this call until it first waits.
    """
    return invoke(f, *args, **kwargs)


def drive(coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Deferred[T]:
    """Run `coroutine` without an event loop, and return a Deferred of what it returns or raises.

    The coroutine runs in this call until it first waits. It continues in the call that fires what
    it waits for. It may await Deferreds of this library and of Twisted, and asyncio futures if
    there is a loop. It is not an asyncio Task, so ``asyncio.timeout`` and ``asyncio.current_task``
    do not work in it. Cancelling the Deferred cancels the object that the coroutine awaits.

    `context` is the contextvars context to run in, by default a copy of the current one. No other
    coroutine may be running in it.

    Raises:
        NotACoroutineError: `coroutine` is not a coroutine.
    """
    return Deferred.fromCoroutine(coroutine, context)


def ensureDeferred(coro: Any) -> Deferred[Any]:
    """Return a Deferred unchanged; run a coroutine or generator as `drive` does (published).

    For one of Twisted's Deferreds it returns a Deferred of this library with the same result.

    Raises:
        NotACoroutineError: `coro` is not one of these.
    """
    if isinstance(coro, Deferred) or is_twisted_deferred(coro):
        return to_deferred(coro)
    return Deferred.fromCoroutine(coro)


def inlineCallbacks(
    f: Callable[P, Generator[Any, Any, T]],
) -> Callable[P, Deferred[T]]:
    """Make a generator function return a Deferred of its result (published).

    In the generator, ``result = yield awaitable`` waits. Any other yielded value is returned
    unchanged at once. The generator ends with ``return value``, or with `returnValue`.

    Raises:
        TypeError: on the call, if `f` did not return a generator.
    """

    @wraps(f)
    def start(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        generator = f(*args, **kwargs)
        if not isinstance(generator, GeneratorType):
            name = getattr(f, "__qualname__", f)
            raise TypeError(f"inlineCallbacks needs a generator function, and {name} is not one")
        return Deferred.fromCoroutine(generator)

    return start


def returnValue(val: object) -> NoReturn:
    """End a generator of `inlineCallbacks` with the value `val`; ``return val`` does the same."""
    raise ReturnValue(val)


def logError(err: Failure) -> Failure:
    """Log the failure and return it: an errback (published)."""
    _logger.error("%s", err.text_for_log())
    return err


def setDebugging(on: bool) -> None:
    """Turn the recording of stacks, for AlreadyCalledError and the log, on or off (published)."""
    Deferred.debug = bool(on)


def getDebugging() -> bool:
    """Return whether the recording of stacks is on (published)."""
    return Deferred.debug
