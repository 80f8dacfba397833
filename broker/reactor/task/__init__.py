"""Published names of `twisted.internet.task`: repeated and delayed calls, and whole programs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn, ParamSpec, TypeVar, overload

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure
from broker.reactor import typed
from broker.reactor.engine.installed import default
from broker.reactor.error import ReactorNotRunning
from broker.reactor.task.clock import Clock
from broker.reactor.task.cooperator import (
    CooperativeTask,
    Cooperator,
    NotPaused,
    SchedulerError,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskFinished,
    TaskStopped,
    coiterate,
    cooperate,
)
from broker.reactor.task.looping_call import LoopingCall
from broker.traces import log_error

__all__ = [
    "Clock",
    "CooperativeTask",
    "Cooperator",
    "LoopingCall",
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
    "coiterate",
    "cooperate",
    "deferLater",
    "react",
]

logger = logging.getLogger("broker.reactor")

P = ParamSpec("P")
T = TypeVar("T")


@overload
def deferLater(clock: typed.Clock, delay: float, callable: None = None) -> Deferred[None]: ...


@overload
def deferLater(
    clock: typed.Clock,
    delay: float,
    callable: Callable[P, Awaitable[T]],
    *args: P.args,
    **kw: P.kwargs,
) -> Deferred[T]: ...


@overload
def deferLater(
    clock: typed.Clock,
    delay: float,
    callable: Callable[P, T],
    *args: P.args,
    **kw: P.kwargs,
) -> Deferred[T]: ...


def deferLater(
    clock: typed.Clock,
    delay: float,
    callable: Callable[..., object] | None = None,
    *args: object,
    **kw: object,
) -> Deferred[Any]:
    """Return a Deferred of `callable(*args, **kw)`, called after `delay` seconds (published).

    Without `callable` the result is None. Cancelling it cancels the call.
    """
    deferred: Deferred[Any] = Deferred(lambda _: delayed.cancel())
    if callable is not None:
        call = callable
        deferred.addCallback(lambda _: call(*args, **kw))
    delayed = clock.callLater(delay, deferred.callback, None)
    return deferred


def react(
    main: Callable[..., object],
    argv: Iterable[object] = (),
    _reactor: typed.CoreReactor | None = None,
) -> NoReturn:
    """Run the reactor until `main(reactor, *argv)` has ended, then exit (published).

    `main` may be ``async def``, or return a Deferred or another awaitable. It is called once the
    reactor runs, so it may use asyncio too. Its exception is logged, to standard error unless
    logging is configured.

    Raises:
        SystemExit: always. The code is 0 after a result, or if the reactor was stopped before; 1
            after an exception; its own code after SystemExit.
    """
    reactor = default if _reactor is None else _reactor
    program = _Program(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", program.stopped)
    reactor.callWhenRunning(program.start, main, argv)
    reactor.run()
    sys.exit(program.code)


class _Program:
    """The call of a `main`, and its exit code."""

    def __init__(self, reactor: typed.CoreReactor):
        self.code: Any = 0
        self._reactor = reactor
        self._is_stopping = False

    def start(self, main: Callable[..., object], argv: Iterable[object]) -> None:
        maybeDeferred(main, self._reactor, *argv).addCallbacks(self._done, self._failed)

    def stopped(self) -> None:
        self._is_stopping = True

    def _done(self, _: object) -> None:
        if not self._is_stopping:
            self._stop()

    def _failed(self, failure: Failure) -> None:
        if failure.check(SystemExit):
            self.code = failure.value.code
        else:
            exc = failure.as_exception()
            log_error(logger, "main function encountered error", exc)
            self.code = 1
        self._done(None)

    def _stop(self) -> None:
        try:
            self._reactor.stop()
        except ReactorNotRunning:
            # The reactor was stopped in the same turn.
            return
