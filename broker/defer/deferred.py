"""Deferred: a result that may come later, for callbacks and for ``await``.

The chain of callbacks, and how it runs, is in `broker.defer.chain`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import Context
from types import CoroutineType, GeneratorType, TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    overload,
)

from broker.defer.awaiting import (
    TaskBridge,
    is_asyncio_cancellation,
    refuse_ignored,
)
from broker.defer.chain import Chain, adopt
from broker.defer.driver import Driver, Steps, awaiting_yields
from broker.defer.errors import CancelledError, NotACoroutineError, TimeoutError
from broker.defer.foreign import PLAIN, TwistedObserver, is_twisted_deferred
from broker.defer.registered import deferred_of_twisted, register_subclass
from broker.failure import Failure

__all__ = ["Clock", "Deferred", "invoke", "to_deferred"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

# The keywords of each callback that has none. It is only read.
_NO_KEYWORDS: dict[str, object] = {}

if TYPE_CHECKING:
    import asyncio

    _Base: TypeAlias = Coroutine[Any, Any, T]
else:
    # asyncio checks `isinstance(d, Coroutine)`, which holds for any class with the three methods. A
    # real subclass would have ABCMeta, which makes isinstance(x, Deferred) five times slower.
    _Base = Generic


class _DelayedCall(Protocol):
    def active(self) -> bool: ...
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The method of a reactor, or of a test's clock, that `Deferred.addTimeout` needs."""

    def callLater(self, delay: float, function: Callable[[], object], /) -> _DelayedCall:
        """Call `function` in `delay` seconds."""


@deferred_of_twisted
class Deferred(Chain, _Base[T]):
    """A result that may come later (published); it can be awaited.

    ``await d`` does not consume the result: several coroutines may await one Deferred, and
    callbacks added later still receive the result. Cancelling an awaiting task cancels the Deferred
    only if it was the last such task. ``asyncio.create_task``, ``gather``, ``wait_for`` and
    ``asyncio.run`` accept a Deferred as a coroutine.

    `canceller` is called by `cancel` with the Deferred, and may fire it.

    Attributes:
        called: True once it has been fired.
        paused: how many times it has been paused, by `pause` or by waiting for another Deferred.
        result: the result of the last callback. The attribute does not exist before it is fired.
        label: the source of the result, such as the name of a remote method or of a coroutine, for
            ``repr()`` and the log. The attribute does not exist if the source is not known.
        debug: a class attribute: record the stacks for AlreadyCalledError; see `setDebugging`.
    """

    __slots__ = ()

    def __init_subclass__(cls, **keywords: object) -> None:
        super().__init_subclass__(**keywords)
        register_subclass(cls)

    # Adding to the chain.

    def addCallbacks(
        self,
        callback: Callable[..., object] | None,
        errback: Callable[..., object] | None = None,
        callbackArgs: tuple[object, ...] | None = (),
        callbackKeywords: Mapping[str, object] | None = None,
        errbackArgs: tuple[object, ...] | None = (),
        errbackKeywords: Mapping[str, object] | None = None,
    ) -> Deferred[Any]:
        """Call `callback` with a result, or `errback` with a Failure; return self.

        The value that it returns is the next result; the exception that it raises is the next
        failure. If it returns a Deferred, of this library or of Twisted, the chain waits for it. If
        there already is a result, the call happens now.
        """
        return self._add(
            (
                callback,
                callbackArgs or (),
                callbackKeywords or _NO_KEYWORDS,
                errback,
                errbackArgs or (),
                errbackKeywords or _NO_KEYWORDS,
            )
        )

    @overload
    def addCallback(
        self,
        callback: Callable[Concatenate[T, P], Deferred[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[R]: ...

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]: ...

    def addCallback(
        self, callback: Callable[..., object], *args: object, **kwargs: object
    ) -> Deferred[Any]:
        """Call ``callback(result, *args, **kwargs)`` with a result; see `addCallbacks`."""
        return self._add((callback, args, kwargs or _NO_KEYWORDS, None, (), _NO_KEYWORDS))

    @overload
    def addErrback(
        self,
        errback: Callable[Concatenate[Failure, P], Deferred[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T | R]: ...

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | R]: ...

    def addErrback(
        self, errback: Callable[..., object], *args: object, **kwargs: object
    ) -> Deferred[Any]:
        """Call ``errback(failure, *args, **kwargs)`` with a failure; see `addCallbacks`."""
        return self._add((None, (), _NO_KEYWORDS, errback, args, kwargs or _NO_KEYWORDS))

    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[Any, P], Deferred[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[R]: ...

    @overload
    def addBoth(
        self, callback: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]: ...

    def addBoth(
        self, callback: Callable[..., object], *args: object, **kwargs: object
    ) -> Deferred[Any]:
        """Call `callback` with the result or the Failure; see `addCallbacks`."""
        keywords = kwargs or _NO_KEYWORDS
        return self._add((callback, args, keywords, callback, args, keywords))

    def chainDeferred(self, d: Deferred[T]) -> Deferred[None]:
        """Fire `d` with the result of this chain; this chain continues with None."""
        return self.addCallbacks(d.callback, d.errback)

    def addTimeout(
        self,
        timeout: float,
        clock: Clock,
        onTimeoutCancel: Callable[[Any, float], object] | None = None,
    ) -> Deferred[Any]:
        """Cancel this Deferred if it has no result within `timeout` seconds of `clock`.

        The resulting CancelledError becomes a TimeoutError. With `onTimeoutCancel`, the result is
        what ``onTimeoutCancel(result_or_failure, timeout)`` returns or raises.
        """
        is_late = False

        def expire() -> None:
            nonlocal is_late
            is_late = True
            self.cancel()

        def settle(result: object) -> object:
            if delayed.active():
                delayed.cancel()
            if not is_late:
                return result
            if onTimeoutCancel is not None:
                return onTimeoutCancel(result, timeout)
            if isinstance(result, Failure):
                result.trap(CancelledError)
                # Not raised: its traceback would refer back to this Deferred.
                return Failure(TimeoutError(timeout, "Deferred"))
            return result

        delayed = clock.callLater(timeout, expire)
        return self.addBoth(settle)

    # Awaiting.

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, None, T]:
            """Wait for the result; raise the exception of a failure."""

    def send(self, value: object, /) -> Any:
        """Take a step as the coroutine of a Task: return what to wait for, or raise the result."""
        if self.called and not self.paused and not self._is_running:
            try:
                raise StopIteration(self._settled())
            finally:
                del self
        refuse_ignored(self._items)
        return TaskBridge(self)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: Any = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        """Raise the exception, as the coroutine of a Task.

        Cancelling a Task that never started counts as cancelling an awaiter.
        """
        if typ.__class__ is StopIteration:
            # The result, as passed by TaskBridge.
            try:
                raise typ
            finally:
                del typ
        exc: BaseException = val or (typ if isinstance(typ, BaseException) else typ())
        if not self.called and is_asyncio_cancellation(exc):
            TaskBridge(self).cancel()
        try:
            raise exc if tb is None else exc.with_traceback(tb)
        finally:
            del exc, typ, val, tb, self

    def close(self) -> None:
        """Do nothing: a Deferred continues without an awaiter."""

    # asyncio, Twisted and coroutines.

    def asFuture(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
        """Return an asyncio future of `loop` that gets the result.

        This chain continues with None. Cancelling the future cancels this Deferred.
        """
        future: asyncio.Future[T] = loop.create_future()

        def succeed(result: T) -> None:
            if not future.done():
                future.set_result(result)

        def fail(failure: Failure) -> None:
            if not future.done():
                future.set_exception(failure.as_exception())

        def forward(_: object) -> None:
            if future.cancelled():
                self.cancel()

        self.addCallbacks(succeed, fail)
        future.add_done_callback(forward)
        return future

    def asTwisted(self) -> Any:
        """Return a Twisted Deferred that fires as this one; cancelling it cancels this one.

        Raises:
            ImportError: Twisted is not installed.
        """
        observer = TwistedObserver(self)
        self._add(observer)
        return observer.deferred

    @classmethod
    def fromFuture(cls, future: asyncio.Future[R]) -> Deferred[R]:
        """Return a Deferred that fires as the asyncio `future`; cancelling it cancels the future.

        If the future is cancelled, the Deferred fails with CancelledError.
        """
        return cls._driven(future.__await__())

    @classmethod
    def fromCoroutine(
        cls,
        coro: Coroutine[Any, Any, R] | Generator[Any, Any, R],
        context: Context | None = None,
    ) -> Deferred[R]:
        """Run a coroutine, or a generator that yields awaitables, and return a Deferred of its
        result.

        See `broker.defer.drive`, which is typed for coroutines.

        Raises:
            NotACoroutineError: `coro` is neither.
        """
        label = getattr(coro, "__qualname__", None)
        if isinstance(coro, GeneratorType):
            coro = awaiting_yields(coro)
        elif not isinstance(coro, Coroutine):
            raise NotACoroutineError(f"{type(coro).__name__} is not a coroutine")
        return cls._driven(coro, context, label)

    @classmethod
    def _driven(
        cls, steps: Steps, context: Context | None = None, label: str | None = None
    ) -> Deferred[Any]:
        deferred = cls()
        if label is not None:
            deferred.label = label
        driver = Driver(steps, deferred, context)
        deferred._canceller = driver
        driver.start()
        return deferred


async def _result_of(awaitable: Awaitable[T]) -> T:
    return await awaitable


def to_deferred(thing: object) -> Deferred[Any]:
    """Return a Deferred of the result of `thing`.

    A Deferred of this library is returned itself. One of Twisted's Deferreds, a coroutine or any
    other awaitable is waited for. A Failure, of this library or of Twisted, is a failure. Any other
    object is a result.
    """
    deferred: Deferred[object]
    if thing.__class__ not in PLAIN:
        if isinstance(thing, Deferred):
            return thing
        if is_twisted_deferred(thing):
            return adopt(thing, Deferred)
        if isinstance(thing, CoroutineType):
            return Deferred._driven(thing, label=thing.__qualname__)
        if hasattr(thing, "__await__"):
            return Deferred._driven(_result_of(thing))
    deferred = Deferred()
    deferred.callback(thing)
    return deferred


def invoke(f: Callable[..., object], /, *args: object, **kwargs: object) -> Deferred[Any]:
    """Call `f` and return a Deferred of what it returns or raises; see `to_deferred`."""
    try:
        result = f(*args, **kwargs)
    except BaseException as exc:  # noqa: BLE001 - as in Twisted, any exception is the result
        exc.__traceback__ = exc.__traceback__ and exc.__traceback__.tb_next
        return _failed(exc)
    return to_deferred(result)


def _failed(exc: BaseException) -> Deferred[Any]:
    # Not held in a variable of `invoke`, since the traceback refers to its frame.
    deferred: Deferred[object] = Deferred()
    deferred.errback(exc)
    return deferred
