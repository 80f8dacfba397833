"""Published names of `twisted.internet.threads`: work in threads, and calls from threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure

from .installed import default
from .thread_pool import ThreadPool, deferToThreadPool

__all__ = [
    "ThreadPool",
    "blockingCallFromThread",
    "callMultipleInThread",
    "deferToThread",
    "deferToThreadPool",
]


def deferToThread(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call `f` in a thread of the reactor's pool; return a Deferred of its result (published).

    The Deferred fires in the reactor's thread. Cancelling it does not stop the call.
    """
    return deferToThreadPool(default, default.getThreadPool(), f, *args, **kwargs)


def callMultipleInThread(
    tupleList: Iterable[tuple[Callable[..., object], Sequence[Any], Mapping[str, Any]]],
) -> None:
    """Make each call `(f, args, kwargs)` of the list, in its order, in one thread (published)."""

    def work() -> None:
        for f, args, kwargs in tupleList:
            f(*args, **kwargs)

    default.callInThread(work)


def blockingCallFromThread(reactor: Any, f: Callable[..., Any], *a: Any, **kw: Any) -> Any:
    """Call `f` in the reactor's thread, and wait here, in another thread, for its result.

    A Deferred or an awaitable that `f` returns is waited for; what it raises or fails with is
    raised here (published).

    Raises:
        RuntimeError: this thread runs an event loop, and would wait for itself for ever.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("blockingCallFromThread belongs in a thread without an event loop")
    outcome: Future[Any] = Future()

    def fail(failure: Failure) -> None:
        outcome.set_exception(failure.as_exception())

    reactor.callFromThread(
        lambda: maybeDeferred(f, *a, **kw).addCallbacks(outcome.set_result, fail)
    )
    return outcome.result()
