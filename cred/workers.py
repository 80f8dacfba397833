"""Workers: a few threads, with a bounded queue, for the part of a login that blocks.

The hash of a password keeps a processor busy, on purpose, and a database may be slow. Two threads
do this work, so that a flood of logins does not delay the calls of users who have logged in. A
thread is started when there is work, and ends when the queue is empty, so there is nothing to
close. The start of a thread takes little time compared with a login.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from broker.background import run_and_deliver, start_thread
from broker.defer import Deferred, fail, maybeDeferred
from broker.defer.awaiting import running_loop
from cred.error import LoginDenied

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["LOGINS", "QUEUE", "THREADS", "QueueFull", "Workers"]

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 2
"""The number of threads."""

QUEUE: Final = 64
"""The most logins that wait for a thread."""


class QueueFull(LoginDenied):
    """Too many logins wait already; a later try may succeed."""


class _Job:
    """One function to be called in a thread, and the Deferred of its result."""

    def __init__(
        self, loop: AbstractEventLoop, work: Callable[[], object], cancelled: Callable[[_Job], None]
    ):
        self._work = work
        # The callbacks run in the loop and in the `contextvars` context of the caller.
        self._call_soon = partial(loop.call_soon_threadsafe, context=copy_context())
        self._is_cancelled = False
        self._forget = cancelled
        self.deferred: Deferred[Any] = Deferred(self._cancel)

    def run(self) -> None:
        """Call the function in this thread; pass its outcome to the loop."""
        run_and_deliver(self._work, self._call_soon, self._succeed, self._fail)

    def _succeed(self, result: object) -> None:
        if not self._is_cancelled:
            self.deferred.callback(result)

    def _fail(self, error: BaseException) -> None:
        if not self._is_cancelled:
            self.deferred.errback(error)

    def _cancel(self, deferred: object) -> None:
        self._is_cancelled = True
        self._forget(self)


class Workers:
    """Calls functions in threads, a few at a time.

    Args:
        threads: the most threads at the same time.
        queue: the most calls that may wait for a thread.
    """

    def __init__(self, threads: int = THREADS, queue: int = QUEUE) -> None:
        self._threads = threads
        self._most = threads + queue
        self._lock = Lock()
        self._waiting: deque[_Job] = deque()
        self._running = 0
        self._unfinished = 0

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call a function in a thread.

        Without a running asyncio loop, which could take the result from another thread, it is
        called at once in this thread.

        Returns:
            A Deferred of its result, or of its exception. It fails with QueueFull, without a call,
            if too many calls wait. A call that is cancelled while it waits is not made.
        """
        loop = running_loop()
        if loop is None:
            return maybeDeferred(function, *args, **kwargs)
        job = _Job(loop, lambda: function(*args, **kwargs), self._forget)
        with self._lock:
            if self._unfinished >= self._most:
                return fail(QueueFull("login queue full"))
            if self._running < self._threads:
                start_thread(self._work, "cred-worker", daemon=None)
                self._running += 1
            self._unfinished += 1
            self._waiting.append(job)
        return job.deferred

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                job = self._waiting.popleft()
            job.run()
            # Free the job now: the thread may wait for the next one.
            del job
            with self._lock:
                self._unfinished -= 1

    def _forget(self, job: _Job) -> None:
        with self._lock, suppress(ValueError):
            self._waiting.remove(job)
            self._unfinished -= 1


LOGINS: Final = Workers()
"""The workers of all checkers of this process, which share its processors."""
