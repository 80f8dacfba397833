"""Coarse timers: one timer of an asyncio loop serves all timeouts that need no precision.

Theory of operation. A timer of asyncio costs about 20 calls: it is a handle in a heap. A connection
sets several timeouts while it is set up, and nearly all of them are cancelled. So timeouts are
collected in buckets, one for each half second. A bucket is due at its end, so none of its timeouts
is early, and none is more than half a second late. The loop has one timer, for the first bucket;
it has none while no timeout is set. A bucket is a dict that serves as an ordered set: to set and to
cancel a timeout takes the same short time however many there are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TypeAlias

from msgspec import Struct

from broker.printable import repr_of

__all__ = ["CoarseTimers", "Timeout"]

_SHORTEST, _LONGEST = 1.0, 1e9
"""Seconds: other timeouts are timers of the loop."""

_RATE = 2.0
"""Buckets a second."""

_SLACK = 0.002
"""Seconds from the end of a bucket to the timer of the loop: uvloop rounds to milliseconds."""

_MOST_AT_ONCE = 256
"""Timeouts that are called before other events are handled."""

_NEVER = float("inf")

_Bucket: TypeAlias = "dict[Timeout, None]"


class Timeout(Struct, eq=False):
    """One timeout that was set by `CoarseTimers.timeout`."""

    # A Struct: it is made without a call of Python. After the call, or when it was cancelled, it
    # holds no objects of its caller.
    _f: Callable[..., object] | None
    _args: tuple[object, ...]
    _context: Context | None
    _bucket: _Bucket | None
    _timers: CoarseTimers
    _handle: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        """Cancel the call; does nothing if the call was made or cancelled before."""
        self._f = self._context = None
        self._args = ()
        bucket = self._bucket
        if bucket is not None:
            self._bucket = None
            del bucket[self]
            timers = self._timers
            timers.waiting -= 1
            if not timers.waiting:
                timers.stop()
            elif not bucket:
                # Its memory is freed. It is dropped when it is due.
                bucket.clear()
        elif self._handle is not None:
            self._handle.cancel()
            self._handle = None


class CoarseTimers:
    """The timeouts of one loop.

    Args:
        loop: the loop.
        now: the clock of the loop.

    Attributes:
        waiting: the number of timeouts that are not due.
    """

    __slots__ = ("_armed", "_buckets", "_due", "_handle", "_loop", "_now", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float]):
        self._loop = loop
        self._now = now
        # By the number of half seconds at which they are due.
        self._buckets: dict[int, _Bucket] = {}
        # The timeouts that are due, and not called yet.
        self._due: deque[Timeout] = deque()
        self.waiting = 0
        # The bucket that the timer of the loop is set for.
        self._armed: float = _NEVER
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self.waiting + sum(timeout._f is not None for timeout in self._due)

    def timeout(
        self, delay: float, f: Callable[..., object], *args: object
    ) -> Timeout | asyncio.TimerHandle:
        """Call ``f(*args)`` in ``delay`` to ``delay + 0.5`` seconds, unless cancelled before.

        A delay below 1 s is exact.
        """
        if not _SHORTEST <= delay <= _LONGEST:
            return self._loop.call_later(delay, f, *args)
        tick = int((self._now() + delay) * _RATE) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            if tick < self._armed:
                self._arm(tick)
        timeout = Timeout(f, args, copy_context(), bucket, self)
        bucket[timeout] = None
        self.waiting += 1
        return timeout

    def hand_over(self) -> None:
        """Make each timeout a timer of the loop, and use the loop's present clock from now on."""
        buckets, self._buckets = self._buckets, {}
        self.stop()
        now = self._now()
        for tick, bucket in buckets.items():
            for timeout in bucket:
                timeout._bucket = None
                timeout._handle = self._loop.call_later(
                    tick / _RATE - now, self._call, timeout, context=Context()
                )
        self._now = self._loop.time

    def stop(self) -> None:
        """Cancel the timer of the loop: no timeout waits."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._armed = _NEVER
        self._buckets.clear()
        self.waiting = 0

    def _arm(self, tick: int) -> None:
        """Set the timer of the loop; it holds no context of a connection."""
        if self._handle is not None:
            self._handle.cancel()
        self._armed = tick
        # Not at a time: the clock of the loop may have been replaced since the connection was made.
        delay = tick / _RATE + _SLACK - self._now()
        self._handle = self._loop.call_later(delay, self._ring, context=Context())

    def _ring(self) -> None:
        """Call the timeouts of all buckets that are due."""
        self._handle = None
        self._armed = _NEVER
        buckets, now = self._buckets, self._now() * _RATE
        for tick in sorted(tick for tick in buckets if tick <= now):
            bucket = buckets.pop(tick)
            self.waiting -= len(bucket)
            for timeout in bucket:
                timeout._bucket = None
            self._due.extend(bucket)
        # Before the calls: one of them may run the loop.
        if self.waiting:
            self._arm(min(buckets))
        else:
            buckets.clear()
        self._call_due()

    def _call_due(self) -> None:
        due, left = self._due, _MOST_AT_ONCE
        try:
            while due and left:
                left -= 1
                self._call(due.popleft())
        finally:
            if due:
                self._loop.call_soon(self._call_due, context=Context())

    def _call(self, timeout: Timeout) -> None:
        """Call one timeout in its context; report an error as the loop does for a timer."""
        f, args, context = timeout._f, timeout._args, timeout._context
        timeout._f = timeout._context = timeout._handle = None
        timeout._args = ()
        if f is None or context is None:
            return
        try:
            context.run(f, *args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - as for a timer of the loop
            report = {"message": f"Exception in callback {repr_of(f, 200)}", "exception": exc}
            self._loop.call_exception_handler(report)
