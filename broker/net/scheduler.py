"""Schedulers: one small API for an asyncio loop, a Twisted reactor, and no loop at all.

A connection asks its transport for a scheduler once (`scheduler_for`). After that it does not
depend on the kind of loop.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import _get_running_loop, current_task
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol
from weakref import ref

from broker.native import native
from broker.net.coarse_timers import CoarseTimers

__all__ = [
    "Cancellable",
    "ImmediateScheduler",
    "LoopScheduler",
    "Scheduler",
    "TwistedScheduler",
    "expire_at",
    "scheduler_for",
    "scheduler_of",
]


# The argument of a Task that takes its first step at once; none before Python 3.12.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Cancellable(Protocol):
    """The result of `Scheduler.later` and `Scheduler.timeout`."""

    def cancel(self) -> object:
        """Cancel the call; does nothing if the call was made or cancelled before."""


class Scheduler(Protocol):
    """Time and turns of the loop that runs a connection. Times are seconds, as float."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The asyncio loop, or None."""

    @property
    def create_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """Start a coroutine as a task, ``create_task(coro, context=None)``; or None."""

    @property
    def begin_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """The same as `create_task`, but the first step is taken now; None if that cannot be."""

    def stepped_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop if a task of it may be run in the middle of this callback; else None."""

    def now(self) -> float:
        """Return the time of a monotonic clock; only differences have a meaning."""

    def soon(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the next turn of the loop."""

    def later(self, delay: float, f: Callable[..., object], *args: object) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""

    def timeout(self, delay: float, f: Callable[..., object], *args: object) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds or a little later, unless cancelled before.

        For timeouts, most of which are cancelled: to set and to cancel one costs less than with
        `later`. These rules hold:

        - The call is never early. If ``delay`` is 1 s or more, it is at most 1 s late; a shorter
          one is as exact as with `later`.
        - Calls that are due in the same half second are made in the order in which they were set.
        - The call is made in the context in which it was set, as with `later`.
        - An error of one call prevents no other. It is reported as that of a timer of the loop.
        - No timer of the loop is left when no timeout is set.
        """

    def soon_threadsafe(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the loop's thread; may be called from any thread."""


class LoopScheduler:
    """The scheduler of an asyncio event loop, including uvloop's; see `scheduler_of`.

    Attributes:
        loop: that loop.
        clock: its method ``time``.
        timeouts: its timeouts of 1 s or more.
        timeout: sets one, without a call in between; see `Scheduler.timeout`.
    """

    __slots__ = ("__weakref__", "clock", "loop", "now", "timeout", "timeouts")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        self.clock = loop.time
        # The function that asyncio's own loops call, without a call in between. That halves the
        # cost of reading the clock, which each message does twice.
        is_plain = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if is_plain else loop.time
        self.timeouts = CoarseTimers(loop, self.now)
        self.timeout: Callable[..., Cancellable] = self.timeouts.timeout

    def stepped_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop, unless a task runs now, or asyncio's debug mode measures callbacks."""
        loop = self.loop
        if _get_running_loop() is loop and current_task(loop) is None and not loop.get_debug():
            return loop
        return None

    def soon(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the next turn of the loop."""
        self.loop.call_soon(f, *args)

    def later(self, delay: float, f: Callable[..., object], *args: object) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""
        return self.loop.call_later(delay, f, *args)

    def soon_threadsafe(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the loop's thread.

        Raises:
            RuntimeError: the loop is closed.
        """
        self.loop.call_soon_threadsafe(f, *args)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Start a coroutine as a task of the loop, in ``context`` or a copy of the current one."""
        return self.loop.create_task(coro, context=context)

    @property
    def begin_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """The same, but the first step is taken now.

        None before Python 3.12, if the loop has a task factory, and outside the loop.
        """
        loop = self.loop
        if not _EAGER or _get_running_loop() is not loop or loop.get_task_factory() is not None:
            return None
        return partial(asyncio.Task, loop=loop, **_EAGER)


# By the id of the loop. A scheduler holds its loop, so the id is that of no other loop meanwhile;
# the entry goes with the scheduler.
_schedulers: dict[int, ref[LoopScheduler]] = {}


def scheduler_of(loop: asyncio.AbstractEventLoop) -> LoopScheduler:
    """Return the scheduler that all connections of a loop share.

    A loop whose clock was replaced gets another one, for the connections made since.
    """
    key = id(loop)
    known = _schedulers.get(key)
    scheduler = None if known is None else known()
    if scheduler is not None and scheduler.clock == loop.time:
        return scheduler
    scheduler = LoopScheduler(loop)

    def forget(gone: ref[LoopScheduler]) -> None:
        if _schedulers.get(key) is gone:
            del _schedulers[key]

    _schedulers[key] = ref(scheduler, forget)
    return scheduler


def expire_at(limit: asyncio.Timeout, ends: float) -> Cancellable:
    """Have an ``asyncio.timeout(None)`` expire at a time of the running loop's clock, or later.

    It is a `Scheduler.timeout`: it costs less than a timer of the loop. If it is soon, it is a
    timer of the loop, since half a second more would be much. Call ``cancel()`` of the result when
    the block of ``limit`` has ended.
    """
    loop = asyncio.get_running_loop()
    scheduler = scheduler_of(loop)
    seconds = ends - scheduler.now()
    if seconds < _SOON:
        return loop.call_later(max(0.0, seconds), limit.reschedule, _PAST)
    return scheduler.timeout(seconds, limit.reschedule, _PAST)


# In seconds.
_SOON = 4.0


# A time that has passed in each clock.
_PAST = -1.0


class TwistedScheduler:
    """The scheduler of a Twisted reactor, for a transport of Twisted."""

    __slots__ = ("_reactor",)

    loop = None
    create_task = None
    begin_task = None

    def __init__(self, reactor: Any):
        self._reactor = reactor

    def stepped_loop(self) -> None:
        """Return None: a reactor runs no tasks."""

    def now(self) -> float:
        """Return the reactor's clock."""
        return float(self._reactor.seconds())

    def soon(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the next turn of the reactor."""
        self._reactor.callLater(0, f, *args)

    def later(self, delay: float, f: Callable[..., object], *args: object) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""
        return _DelayedCall(self._reactor.callLater(delay, f, *args))

    timeout = later

    def soon_threadsafe(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` in the reactor's thread."""
        self._reactor.callFromThread(f, *args)


class _DelayedCall:
    """A delayed call of a reactor that may be cancelled too late without an error."""

    __slots__ = ("_call",)

    def __init__(self, call: Any):
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


class ImmediateScheduler:
    """The scheduler without a loop, as under a StringTransport: soon is now, later is never.

    A call that is scheduled during such a call is made after it has returned, not inside it. So a
    thousand turns, each of which schedules the next, need the stack of one.
    """

    loop = None
    create_task = None
    begin_task = None
    # Of the class, so that an object is made without a call: each Broker makes one first.
    _waiting: deque[tuple[Callable[..., object], tuple[object, ...]]] | None = None

    def stepped_loop(self) -> None:
        """Return None: there is no loop."""

    def now(self) -> float:
        """Return the system's monotonic clock."""
        return time.monotonic()

    def soon(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` at once, or after the call that is being made."""
        if self._waiting is not None:
            self._waiting.append((f, args))
            return
        self._waiting = waiting = deque([(f, args)])
        try:
            while waiting:
                f, args = waiting.popleft()
                f(*args)
        finally:
            self._waiting = None

    def later(self, delay: float, f: Callable[..., object], *args: object) -> Cancellable:
        """Drop the call: there is no timer that could make it."""
        return _Never()

    timeout = later

    def soon_threadsafe(self, f: Callable[..., object], *args: object) -> None:
        """Call ``f(*args)`` at once, in this thread."""
        f(*args)


class _Never:
    __slots__ = ()

    def cancel(self) -> None:
        pass


def scheduler_for(transport: Any) -> Scheduler:
    """Return the scheduler of a transport: its own, that of its reactor, or one without a loop.

    Transports of this package have a ``scheduler``, those of Twisted a ``reactor``, a
    StringTransport has neither.
    """
    scheduler: Scheduler | None = getattr(transport, "scheduler", None)
    if scheduler is not None:
        return scheduler
    reactor = getattr(transport, "reactor", None)
    return ImmediateScheduler() if reactor is None else TwistedScheduler(reactor)


def done_future() -> asyncio.Future[None]:
    """Return a future that has the result None, and no loop."""
    future: asyncio.Future[None] = asyncio.Future(
        loop=SimpleNamespace(get_debug=bool)  # type: ignore[arg-type]
    )
    future.set_result(None)
    return future


if native is not None:
    # What a task in C gets when the Deferred that it awaits has a result; it only asks for an
    # exception, and a future in C answers that without a call.
    native.use_tasks(asyncio.Task, done_future())
