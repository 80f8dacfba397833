"""Methods that run for the peer: their awaitables, until each call has been answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from broker.core.calls.dispatch import note_raised
from broker.core.calls.incoming_call import IncomingCall
from broker.core.session import Session
from broker.defer import CancelledError, Deferred, drive
from broker.defer.foreign import is_twisted_deferred
from broker.errors import CallTimeout
from broker.failure import Failure
from broker.net.scheduler import Cancellable, Scheduler
from jelly.atoms import text_of

__all__ = ["RunningMethods"]

_CANCELLED = (asyncio.CancelledError, CancelledError)


class RunningMethods:
    """The awaitables of the methods of one connection.

    An ``async def`` method becomes a task if an asyncio loop runs; otherwise `broker.defer.drive`
    runs it. On Python 3.12 and later a task takes its first step in the turn of its call, unless
    the loop has a task factory; else it begins in the next iteration of the loop.

    Only these are cancelled: a Deferred or a future that a method returned may have other users.

    Args:
        session: answers the calls.
        scheduler: makes the tasks.
        answered: called after each answer, to send it.
        resume: called when all new tasks have begun, to handle the calls that wait for this.
    """

    __slots__ = ("_answered", "_resume", "_scheduler", "_session", "_started", "_unstarted")

    def __init__(
        self,
        session: Session,
        scheduler: Scheduler,
        answered: Callable[[], object],
        resume: Callable[[], object],
    ):
        self._session = session
        self._scheduler = scheduler
        self._answered = answered
        self._resume = resume
        self._unstarted = 0
        self._started: dict[IncomingCall, RunningMethod] = {}

    def __len__(self) -> int:
        return len(self._started)

    def take(self, call: IncomingCall, result: Any) -> None:
        """Answer ``call`` when ``result``, an awaitable, has its value; note how to cancel it."""
        if isinstance(result, Deferred) or is_twisted_deferred(result):
            self._follow_deferred(call, result)
        elif asyncio.isfuture(result):
            result.add_done_callback(lambda future: self._finish_future(call, future))
        else:
            is_coroutine = isinstance(result, Coroutine)
            self._run(call, result if is_coroutine else _awaited(result))

    def adopt(self, call: IncomingCall, task: asyncio.Task[object], *, is_lost: bool) -> None:
        """Answer ``call`` when its task has ended, which has taken its first step.

        Args:
            call: the call.
            task: it runs the method.
            is_lost: whether the connection has ended in that step, so that the method is cancelled.
        """
        if task.done():
            self._finish_future(call, task)
            return
        self._note(call, task.cancel)
        task.add_done_callback(lambda done: self._finish_future(call, done))
        if is_lost:
            task.cancel()

    def cancel_call(self, call: IncomingCall) -> None:
        """Cancel the method of one call, if it was started here and still runs."""
        work = self._started.get(call)
        if work is not None:
            work.cancel()

    def cancel(self) -> None:
        """Cancel the methods started here: the connection has ended.

        Those of calls that run at most once go on: their callers may ask for the result on another
        connection.
        """
        for call, work in list(self._started.items()):
            if call.once is None:
                work.cancel()

    def _run(self, call: IncomingCall, coroutine: Coroutine[Any, Any, object]) -> None:
        context = self._session.incoming.own_context(call)
        create_task = self._scheduler.create_task
        if create_task is None:
            deferred = drive(coroutine, context)
            self._note(call, deferred.cancel)
            self._follow_deferred(call, deferred)
            return
        begin_task = self._scheduler.begin_task
        if begin_task is not None:
            self._begin(call, partial(begin_task, coroutine, context=context))
            return
        task = create_task(coroutine, context=context)
        self._note(call, task.cancel)
        task.add_done_callback(lambda done: self._finish_future(call, done))
        self._unstarted += 1
        self._session.inbox.close_lane()
        self._session.inbox.has_unstarted_tasks = True
        # Scheduled after the task, so it runs when the task has begun.
        self._scheduler.soon(self._task_began)

    def _begin(self, call: IncomingCall, begin: Callable[[], asyncio.Task[object]]) -> None:
        """Start a task whose first step is taken now; most methods end in it."""
        # Noted first: the first step may end the connection, which cancels the method.
        work = self._started[call] = RunningMethod()
        try:
            task = begin()
        except BaseException:
            # KeyboardInterrupt or SystemExit: the loop may go on.
            self._ended(call)
            self._session.incoming.forget(call)
            raise
        if task.done():
            self._finish_future(call, task)
            return
        work.can_cancel(task.cancel)
        self._limit(call, work)
        task.add_done_callback(lambda done: self._finish_future(call, done))

    def _note(self, call: IncomingCall, cancel: Callable[[], object]) -> None:
        work = self._started[call] = RunningMethod()
        work.can_cancel(cancel)
        self._limit(call, work)

    def _limit(self, call: IncomingCall, work: RunningMethod) -> None:
        """Cancel a method at the deadline of its caller, if there is one."""
        if call.due is not None:
            left = max(0.0, call.due - self._scheduler.now())
            work.timer = self._scheduler.later(left, self._expire, call)

    def _expire(self, call: IncomingCall) -> None:
        work = self._started.get(call)
        if work is not None:
            work.is_expired = True
            work.cancel()

    def _task_began(self) -> None:
        self._unstarted -= 1
        if not self._unstarted:
            self._session.inbox.has_unstarted_tasks = False
            self._resume()

    def _follow_deferred(self, call: IncomingCall, deferred: Any) -> None:
        deferred.addCallbacks(
            lambda value: self._finish(call, value), lambda failure: self._fail(call, failure)
        )

    def _finish_future(self, call: IncomingCall, future: asyncio.Future[object]) -> None:
        if future.cancelled():
            self._fail(call, asyncio.CancelledError(f"'{call.name}' was cancelled"))
            return
        error = future.exception()
        if error is None:
            self._finish(call, future.result())
        else:
            self._fail(call, error)

    def _ended(self, call: IncomingCall) -> RunningMethod | None:
        work = self._started.pop(call, None)
        if work is not None and work.timer is not None:
            work.timer.cancel()
        return work

    def _finish(self, call: IncomingCall, value: object) -> None:
        self._ended(call)
        self._session.finish(call, value)
        self._answered()

    def _fail(self, call: IncomingCall, error: object) -> None:
        work = self._ended(call)
        is_expired = work is not None and work.is_expired
        if is_expired and isinstance(Failure.of(error).value, _CANCELLED):
            error = CallTimeout(f"'{text_of(call.name)}' was cancelled at its caller's deadline")
        elif call.waits is None and (call.route is None or not call.route.is_ours):
            note_raised(error)
        self._session.fail(call, error)
        self._answered()


class RunningMethod:
    """A method that was started here.

    Attributes:
        timer: of the deadline of its caller, if there is one.
        is_expired: whether the deadline has passed.
    """

    __slots__ = ("_cancel", "_is_cancelled", "is_expired", "timer")

    def __init__(self) -> None:
        self._cancel: Callable[[], object] | None = None
        self._is_cancelled = False
        self.timer: Cancellable | None = None
        self.is_expired = False

    def can_cancel(self, cancel: Callable[[], object]) -> None:
        """Take the function that cancels it, and call it if :meth:`cancel` was called before."""
        self._cancel = cancel
        if self._is_cancelled:
            cancel()

    def cancel(self) -> None:
        """Cancel it, now or when that can be done."""
        self._is_cancelled = True
        if self._cancel is not None:
            self._cancel()


async def _awaited(awaitable: Awaitable[object]) -> object:
    return await awaitable
