"""A LoopingCall repeats a call at a fixed rate."""

from __future__ import annotations

from collections.abc import Callable

from broker.defer import Deferred, maybeDeferred
from broker.failure import Failure
from broker.reactor.engine.installed import default
from broker.reactor.typed import DelayedCall, TimeReactor

__all__ = ["LoopingCall"]


class LoopingCall:
    """Calls `f(*a, **kw)` at an interval (published).

    The times are multiples of the interval after the start: they do not drift, and missed times are
    left out. If `f` returns a Deferred or an awaitable, the next call waits for it.

    Attributes:
        f, a, kw: the call.
        clock: the clock; `broker.reactor` unless set before the start.
        running: between the start and the end.
        interval, starttime: the seconds between two calls, and the time of the start; None before
            it.
        call: the delayed call of the next time, or None.
        deferred: the result of `start`; None while it does not run.
    """

    call: DelayedCall | None = None
    running: bool = False
    interval: float | None = None
    starttime: float | None = None

    def __init__(self, f: Callable[..., object], *a: object, **kw: object):
        self.f = f
        self.a = a
        self.kw = kw
        self.clock: TimeReactor = default
        self.deferred: Deferred[LoopingCall] | None = None
        self._counted = 0.0  # the time up to which `withCount` has reported intervals

    @classmethod
    def withCount(cls, countCallable: Callable[[int], object]) -> LoopingCall:
        """Return a LoopingCall that calls `countCallable(n)` (published).

        `n` is the number of intervals since the call before: more than 1 if some were missed, and 1
        at the start. If no interval has passed, there is no call.
        """

        def counter() -> object:
            count = loop._count()
            return countCallable(count) if count > 0 else None

        loop = cls(counter)
        return loop

    def start(self, interval: float, now: bool = True) -> Deferred[LoopingCall]:
        """Make the first call, now or after one interval (published).

        Returns:
            A Deferred that fires with this object after `stop`, or fails when a call raises or its
            Deferred fails; then there are no more calls.

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
        # Without a delayed call, a call is being made; its end is the end of all calls.
        if self._cancel_call():
            self._take_deferred().callback(self)

    def reset(self) -> None:
        """Restart the interval: the next call comes after one interval from now (published).

        Raises:
            AssertionError: it does not run.
        """
        if not self.running:
            raise AssertionError("this LoopingCall does not run: there is nothing to reset")
        if self._cancel_call():
            self.starttime = self.clock.seconds()
            self._schedule(self.starttime)

    def __call__(self) -> None:
        """Make the call, and schedule the next one."""
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
                # The clock cannot resolve so little: this would be the same time again.
                delay = self.interval
        self.call = self.clock.callLater(delay, self)

    def _count(self) -> int:
        """Return the number of intervals since this last returned more than 0."""
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
