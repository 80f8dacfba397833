"""Published names of `twisted.internet.threads`: work in threads, and calls from threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure
from broker.reactor.engine.installed import default
from broker.reactor.engine.mainloop import Mainloop
from broker.reactor.engine.thread_pool import ThreadPool, deferToThreadPool
from broker.reactor.typed import ThreadReactor

__all__ = [
    "ThreadPool",
    "blockingCallFromThread",
    "callMultipleInThread",
    "deferToThread",
    "deferToThreadPool",
]

P = ParamSpec("P")
T = TypeVar("T")


def deferToThread(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call `f` in a thread of the pool; return a Deferred of its result (published).

    The Deferred fires in the thread of the reactor. Cancelling it does not stop the call.
    """
    return deferToThreadPool(default, default.getThreadPool(), f, *args, **kwargs)


def callMultipleInThread(
    tupleList: Iterable[tuple[Callable[..., object], Sequence[object], Mapping[str, object]]],
) -> None:
    """Make the calls `(f, args, kwargs)` of a list in their order, in one thread (published)."""

    def work() -> None:
        for f, args, kwargs in tupleList:
            f(*args, **kwargs)

    default.callInThread(work)


def blockingCallFromThread(
    reactor: ThreadReactor, f: Callable[..., object], *a: object, **kw: object
) -> Any:
    """Call `f` in the reactor's thread, and wait for its result in this thread.

    A Deferred or an awaitable that `f` returns is waited for. An exception or failure is raised
    here (published).

    Raises:
        RuntimeError: this thread runs an event loop, which would wait for itself; or the asyncio
            loop that the reactor used is closed.
        ReactorNotRunning: the reactor has stopped, or stops before there is a result.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("blockingCallFromThread needs a thread without an event loop")
    # `broker.reactor` is a module, whose functions are those of its default reactor.
    mainloop = getattr(reactor, "default", reactor)
    waited = _Waited(mainloop if isinstance(mainloop, Mainloop) else None)
    try:
        reactor.callFromThread(waited.call, f, a, kw)
        return waited.result()
    finally:
        del waited  # an exception's traceback has this frame: a reference cycle


class _Waited:
    """A call in the loop that a thread waits for; `mainloop` is None for another reactor."""

    def __init__(self, mainloop: Mainloop | None):
        self._mainloop = mainloop
        # None after the thread has stopped waiting. The frames of a raised exception refer to this
        # object, and the outcome refers to the exception.
        self._outcome: Future[object] | None = Future()

    def call(
        self, f: Callable[..., object], args: tuple[object, ...], kw: dict[str, object]
    ) -> None:
        maybeDeferred(f, *args, **kw).addBoth(self._settle)
        outcome = self._outcome
        if self._mainloop is not None and outcome is not None and not outcome.done():
            self._mainloop.wait_has_begun(outcome)
        del outcome

    def _settle(self, result: object) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        with suppress(InvalidStateError):  # the thread was released before
            if isinstance(result, Failure):
                outcome.set_exception(result.as_exception())
            else:
                outcome.set_result(result)
        del outcome

    def result(self) -> object:
        outcome: Any = self._outcome
        try:
            if self._mainloop is None:
                return outcome.result()
            return self._mainloop.wait_in_thread(outcome)
        finally:
            self._outcome = None
            del outcome
