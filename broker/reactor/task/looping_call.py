"""A LoopingCall makes one call again and again, at a fixed rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure
from broker.reactor.engine.installed import default
from broker.reactor.engine.timers import DelayedCall

__all__ = ["LoopingCall"]


class LoopingCall:
    """Calls `f(*a, **kw)` every so many seconds (published).

    The times are multiples of the interval after the start: they do not drift, and those that were
    missed are left out. Where `f` returns a Deferred or an awaitable, the next call waits for it.

    Attributes:
        f, a, kw: the call.
        clock: whose time it is; `broker.reactor` unless set before the start.
        running: between the start and the end.
        interval, starttime: the seconds between two calls, and when they began; None before.
        call: what waits for the next time, or None.
        deferred: what `start` returned; None while it does not run.
    """

    call: DelayedCall | None = None
    running: bool = False
    interval: float | None = None
    starttime: float | None = None

    def __init__(self, f: Callable[..., object], *a: Any, **kw: Any):
        self.f = f
        self.a = a
        self.kw = kw
        self.clock: Any = default
        self.deferred: Deferred[LoopingCall] | None = None
        self._counted = 0.0  # up to when a call of `withCount` has been told the intervals

    @classmethod
    def withCount(cls, countCallable: Callable[[int], object]) -> LoopingCall:
        """Return one that calls `countCallable(n)` (published).

        `n` is how many intervals have passed since the call before: more than 1 where some were
        missed, and 1 at the start. Where none has passed there is no call.
        """

        def counter() -> object:
            count = loop._count()
            return countCallable(count) if count > 0 else None

        loop = cls(counter)
        return loop

    def start(self, interval: float, now: bool = True) -> Deferred[LoopingCall]:
        """Make the first call, now or after one interval (published).

        Returns:
            A Deferred that fires with this object after `stop`, or fails with what a call raised
            or failed with; then there are no more calls.

        Raises:
            ValueError: the interval is negative. 0 means as often as possible.
            AssertionError: it runs already.
        """
        if self.running:
            raise AssertionError("this LoopingCall runs already")
        if interval < 0:
            raise ValueError("interval must be >= 0")
        self.running = True
        deferred: Deferred[LoopingCall] = Deferred()
        self.deferred = deferred
        self.interval = interval
        self.starttime = self.clock.seconds()
        self._counted = self.starttime - interval if now else self.starttime
        if now:
            self()
        else:
            self._schedule(self.starttime)
        return deferred

    def stop(self) -> None:
        """Make no more calls (published).

        Raises:
            AssertionError: it does not run.
        """
        if not self.running:
            raise AssertionError("this LoopingCall does not run: there is nothing to stop")
        self.running = False
        # Without a delayed call, one is being made: its end will be the end.
        if self._cancel_call():
            self._take_deferred().callback(self)

    def reset(self) -> None:
        """Let the interval begin anew: the next call comes after one from now (published).

        Raises:
            AssertionError: it does not run.
        """
        if not self.running:
            raise AssertionError("this LoopingCall does not run: there is nothing to reset")
        if self._cancel_call():
            self.starttime = self.clock.seconds()
            self._schedule(self.starttime)

    def __call__(self) -> None:
        """Make the call, and see to the next one."""
        self.call = None
        maybeDeferred(self.f, *self.a, **self.kw).addCallbacks(self._called, self._failed)

    def _called(self, result: object) -> None:
        if self.running:
            self._schedule(self.clock.seconds())
        else:
            self._take_deferred().callback(self)

    def _failed(self, failure: Failure) -> None:
        self.running = False
        self._take_deferred().errback(failure)

    def _schedule(self, now: float) -> None:
        delay = 0.0
        if self.interval:
            delay = self.interval - self._since_start(now) % self.interval
            if now == now + delay:
                # Too little for the clock to notice: this would be the same moment again.
                delay = self.interval
        self.call = self.clock.callLater(delay, self)

    def _count(self) -> int:
        """Return how many intervals have passed since this was last more than none."""
        if not self.interval:
            return 1
        now = self.clock.seconds()
        count = self._index(now) - self._index(self._counted)
        if count > 0:
            self._counted = now
        return count

    def _index(self, moment: float) -> int:
        return int(self._since_start(moment) / (self.interval or 1))

    def _since_start(self, moment: float) -> float:
        return moment - (self.starttime or 0.0)

    def _cancel_call(self) -> bool:
        call, self.call = self.call, None
        if call is not None:
            call.cancel()
        return call is not None

    def _take_deferred(self) -> Deferred[LoopingCall]:
        deferred, self.deferred = self.deferred, None
        return deferred or Deferred()

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", None) or repr(self.f)
        return f"LoopingCall<{self.interval!r}>({name}, *{self.a!r}, **{self.kw!r})"
