"""When things run: one small face for an asyncio loop, a Twisted reactor, and no loop at all.

A connection asks its transport for a scheduler once (`scheduler_for`) and then never again asks
which world it lives in.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

__all__ = [
    "Cancellable",
    "ImmediateScheduler",
    "LoopScheduler",
    "Scheduler",
    "TwistedScheduler",
    "scheduler_for",
]


class Cancellable(Protocol):
    """What `Scheduler.later` returns."""

    def cancel(self) -> object:
        """Do not make the call; nothing happens where it was made or cancelled already."""


class Scheduler(Protocol):
    """Time and turns of the loop in which a connection lives. Times are seconds, as float."""

    @property
    def create_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """Start a coroutine as a task: ``create_task(coro, context=None)``; or None."""

    def now(self) -> float:
        """Return a clock that never goes back; only differences mean anything."""

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` in the next turn of the loop."""

    def later(self, delay: float, f: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""

    def soon_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` in the loop's thread; may be asked from any thread."""


class LoopScheduler:
    """The scheduler of an asyncio event loop, uvloop's included.

    Attributes:
        loop: that loop.
    """

    __slots__ = ("loop", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        # What asyncio's own loops return, without a call in between: half the cost of a reading,
        # of which each message has two.
        is_plain = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if is_plain else loop.time

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` in the next turn of the loop."""
        self.loop.call_soon(f, *args)

    def later(self, delay: float, f: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""
        return self.loop.call_later(delay, f, *args)

    def soon_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
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


class TwistedScheduler:
    """The scheduler of a Twisted reactor, for a transport that Twisted made."""

    __slots__ = ("_reactor",)

    create_task = None

    def __init__(self, reactor: Any):
        self._reactor = reactor

    def now(self) -> float:
        """Return the reactor's clock."""
        return float(self._reactor.seconds())

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` in the next turn of the reactor."""
        self._reactor.callLater(0, f, *args)

    def later(self, delay: float, f: Callable[..., object], *args: Any) -> Cancellable:
        """Call ``f(*args)`` after ``delay`` seconds, unless cancelled before."""
        return _DelayedCall(self._reactor.callLater(delay, f, *args))

    def soon_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` in the reactor's thread."""
        self._reactor.callFromThread(f, *args)


class _DelayedCall:
    """A reactor's delayed call, without the error for cancelling it too late."""

    __slots__ = ("_call",)

    def __init__(self, call: Any):
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


class ImmediateScheduler:
    """The scheduler where no loop runs, as under a StringTransport: soon is now, later is never.

    What is asked for by such a call is called when that has returned, and not within it: a thousand
    turns, each of which asks for the next, take the stack of one.
    """

    __slots__ = ("_waiting",)

    create_task = None

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] | None = None

    def now(self) -> float:
        """Return the system's monotonic clock."""
        return time.monotonic()

    def soon(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` at once, or after the call in which this is asked for."""
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

    def later(self, delay: float, f: Callable[..., object], *args: Any) -> Cancellable:
        """Forget the call: nothing here could wake up to make it."""
        return _Never()

    def soon_threadsafe(self, f: Callable[..., object], *args: Any) -> None:
        """Call ``f(*args)`` at once, in this thread."""
        f(*args)


class _Never:
    __slots__ = ()

    def cancel(self) -> None:
        pass


def scheduler_for(transport: Any) -> Scheduler:
    """Choose the scheduler of a transport: its own, its reactor's, or none.

    Our transports have a ``scheduler``, Twisted's a ``reactor``, a StringTransport neither.
    """
    scheduler: Scheduler | None = getattr(transport, "scheduler", None)
    if scheduler is not None:
        return scheduler
    reactor = getattr(transport, "reactor", None)
    return ImmediateScheduler() if reactor is None else TwistedScheduler(reactor)
