"""The published module of Deferreds: everything that is known as ``defer.something``.

Beside the published names there is `drive`, which runs a coroutine without any event loop.
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
    """Return a Deferred that has `result` already (published)."""
    deferred: Deferred[T] = Deferred()
    deferred.callback(result)
    return deferred


def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """Return a Deferred that has failed already, with the exception being handled by default.

    Raises:
        NoCurrentExceptionError: no argument, and no exception is being handled.
    """
    deferred: Deferred[Any] = Deferred()
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call `callable` and return a Deferred that has what it returned or raised (published)."""
    try:
        result = callable(*args, **kwargs)
    except BaseException as exc:  # noqa: BLE001 - as published, whatever it raises is the result
        return fail(exc)
    return succeed(result)


@overload
def maybeDeferred(
    f: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]: ...


@overload
def maybeDeferred(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...


def maybeDeferred(f: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call `f` and return a Deferred of its result, however that comes (published).

    `f` may return a plain value, a Failure, a Deferred of ours or of Twisted's, or any awaitable;
    it may be ``async def``, and is then run here to where it first waits.
    """
    return invoke(f, *args, **kwargs)


def drive(coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> Deferred[T]:
    """Run `coroutine` without an event loop, and return a Deferred of what it returns or raises.

    It is run to where it first waits, and goes on in the call that fires what it waits for. It may
    await Deferreds of ours and of Twisted's, and futures of asyncio where there is a loop; but it
    is no asyncio Task, so ``asyncio.timeout`` and ``asyncio.current_task`` do not work in it.
    Cancelling the Deferred cancels what the coroutine awaits.

    `context` is the contextvars context to run in, by default a copy of the current one; no other
    coroutine may be running in it.

    Raises:
        NotACoroutineError: `coroutine` is no coroutine.
    """
    return Deferred.fromCoroutine(coroutine, context)


def ensureDeferred(coro: Any) -> Deferred[Any]:
    """Return a Deferred as it is, and run a coroutine or generator as `drive` does (published).

    For a Deferred of Twisted's it returns one of ours that ends as that does.

    Raises:
        NotACoroutineError: `coro` is none of these.
    """
    if isinstance(coro, Deferred) or is_twisted_deferred(coro):
        return to_deferred(coro)
    return Deferred.fromCoroutine(coro)


def inlineCallbacks(
    f: Callable[P, Generator[Any, Any, T]],
) -> Callable[P, Deferred[T]]:
    """Make of a generator function one that returns a Deferred of its end (published).

    In the generator ``result = yield awaitable`` waits; anything else that is yielded comes
    straight back. It ends with ``return value``, or with `returnValue`.

    Raises:
        TypeError: when called, if `f` returned no generator.
    """

    @wraps(f)
    def start(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        generator = f(*args, **kwargs)
        if not isinstance(generator, GeneratorType):
            name = getattr(f, "__qualname__", f)
            raise TypeError(f"inlineCallbacks needs a generator function, and {name} is none")
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
    """Turn on, or off, the keeping of stacks, for AlreadyCalledError and the log (published)."""
    Deferred.debug = bool(on)


def getDebugging() -> bool:
    """Tell whether the keeping of stacks is on (published)."""
    return Deferred.debug
