"""Delayed calls and their queue; the clock is passed in as a function.

A queue keeps its calls in a heap of (time, number, call). When a call is moved or cancelled, its
old entry stays in the heap. It is dropped when it reaches the top, or when more than half of the
entries are stale. Calls with equal times run in the order in which they were scheduled. Calls that
are scheduled while due calls run wait for the next turn. So a program that schedules itself without
delay cannot keep the event loop from its sockets.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Mapping, Sequence

from broker.printable import repr_of
from broker.reactor.error import AlreadyCalled, AlreadyCancelled
from broker.traces import log_error

__all__ = ["DelayedCall", "TimerQueue"]

logger = logging.getLogger("broker.reactor")

# With fewer stale entries than this, the heap is not rebuilt.
FEW = 50


class DelayedCall:
    """A call that waits for its time, as `callLater` returns it (published).

    Args:
        time: when to call, by the clock `seconds`.
        func, args, kw: the call.
        cancel: called with this object when it is cancelled.
        reset: called with this object when its time has changed.
        seconds: the clock.

    Attributes:
        called: whether the call has been made.
        cancelled: whether it has been cancelled.
    """

    def __init__(
        self,
        time: float,
        func: Callable[..., object],
        args: Sequence[object],
        kw: Mapping[str, object],
        cancel: Callable[[DelayedCall], object],
        reset: Callable[[DelayedCall], object],
        seconds: Callable[[], float],
    ):
        self.time = time
        self.func, self.args, self.kw = func, args, kw
        self.seconds = seconds
        self.called = False
        self.cancelled = False
        self._cancelled_with = cancel
        self._moved_with = reset

    def getTime(self) -> float:
        """Return when the call will be made, by the clock of the reactor (published)."""
        return self.time

    def active(self) -> bool:
        """Return whether the call is pending (published)."""
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        """Cancel the call; its function and arguments are released (published).

        Raises:
            AlreadyCalled: it has been made, or is being made now.
            AlreadyCancelled: it has been cancelled before.
        """
        self._check_active()
        self.cancelled = True
        del self.func, self.args, self.kw
        self._cancelled_with(self)

    def reset(self, secondsFromNow: float) -> None:
        """Move the call to `secondsFromNow` seconds from now (published).

        Raises:
            AlreadyCalled, AlreadyCancelled: as `cancel`.
        """
        self._check_active()
        self.time = self.seconds() + secondsFromNow
        self._moved_with(self)

    def delay(self, secondsLater: float) -> None:
        """Move the call by `secondsLater` seconds; a negative number is earlier (published).

        Raises:
            AlreadyCalled, AlreadyCancelled: as `cancel`.
        """
        self._check_active()
        self.time += secondsLater
        self._moved_with(self)

    def run(self) -> None:
        """Make the call; an exception is logged."""
        self.called = True
        try:
            self.func(*self.args, **self.kw)
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"a delayed call raised: {self!r}", exc)

    def _check_active(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled

    def __repr__(self) -> str:
        if self.cancelled:
            return f"<DelayedCall {id(self):#x} cancelled>"
        state = "called" if self.called else f"in {self.time - self.seconds():.3f}s"
        name = getattr(self.func, "__qualname__", None) or repr_of(self.func, 200)
        return f"<DelayedCall {id(self):#x} {state}: {name}>"


class TimerQueue:
    """The delayed calls of one clock.

    Args:
        seconds: the clock.
        changed: called after every change that may affect the first call.
    """

    def __init__(self, seconds: Callable[[], float], changed: Callable[[], object]):
        self._seconds = seconds
        self._changed = changed
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._numbers: dict[DelayedCall, int] = {}  # the valid entry of each waiting call
        self._count = 0

    def add(
        self,
        delay: float,
        func: Callable[..., object],
        args: Sequence[object],
        kw: Mapping[str, object],
    ) -> DelayedCall:
        """Schedule a call `delay` seconds from now.

        Raises:
            ValueError: the delay is negative.
            TypeError: `func` is not callable.
        """
        if not delay >= 0:
            raise ValueError(f"a call cannot be delayed by {delay} seconds: it is negative")
        if not callable(func):
            raise TypeError(f"{func!r} is not callable")
        call = DelayedCall(
            self._seconds() + delay, func, args, kw, self._forget, self._place, self._seconds
        )
        self._place(call)
        return call

    def pending(self) -> list[DelayedCall]:
        """Return the waiting calls, in no order."""
        return list(self._numbers)

    def next_time(self) -> float | None:
        """Return the time of the first call, or None if no call waits."""
        heap = self._heap
        while heap and self._numbers.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run_due(self, slack: float = 0.0) -> None:
        """Make all calls that are due within `slack` seconds from now."""
        deadline = self._seconds() + slack
        newer = self._count
        while True:
            first = self.next_time()
            if first is None or first > deadline or self._heap[0][1] >= newer:
                return
            call = heapq.heappop(self._heap)[2]
            del self._numbers[call]
            call.run()

    def clear(self) -> None:
        """Forget every call; they stay active, and are never made."""
        self._heap.clear()
        self._numbers.clear()

    def _place(self, call: DelayedCall) -> None:
        number = self._count
        self._count += 1
        self._numbers[call] = number
        heapq.heappush(self._heap, (call.time, number, call))
        self._sweep()
        self._changed()

    def _forget(self, call: DelayedCall) -> None:
        self._numbers.pop(call, None)
        self._sweep()
        self._changed()

    def _sweep(self) -> None:
        stale = len(self._heap) - len(self._numbers)
        if stale > FEW and stale > len(self._numbers):
            self._heap = [entry for entry in self._heap if self._numbers.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
