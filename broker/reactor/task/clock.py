"""A clock that moves only when a test tells it to: the reactor of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from broker.reactor.engine.timers import DelayedCall

__all__ = ["Clock"]


class Clock:
    """Delayed calls by a clock that only `advance` moves (published).

    Attributes:
        rightNow: the time, in seconds; it begins at 0.
    """

    rightNow: float = 0.0

    def __init__(self) -> None:
        self.calls: list[DelayedCall] = []

    def seconds(self) -> float:
        """Return the time (published)."""
        return self.rightNow

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall:
        """Call when the clock has moved by `delay` seconds (published)."""
        call = DelayedCall(
            self.rightNow + delay, callable, args, kw, self.calls.remove, _stay, self.seconds
        )
        self.calls.append(call)
        return call

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the pending calls, in no order (published)."""
        return self.calls

    def advance(self, amount: float) -> None:
        """Move the clock by `amount` seconds, and make the calls that are due (published).

        Calls that become due during other calls are made too. An exception of a call is raised
        here, and the calls after it wait for the next `advance`.
        """
        self.rightNow += amount
        while self.calls:
            call = min(self.calls, key=DelayedCall.getTime)
            if call.getTime() > self.rightNow:
                return
            self.calls.remove(call)
            call.called = True
            call.func(*call.args, **call.kw)

    def pump(self, timings: Iterable[float]) -> None:
        """Move the clock by one amount after the other (published)."""
        for amount in timings:
            self.advance(amount)


def _stay(call: DelayedCall) -> None:
    """Do nothing for a call that was moved: the next call is searched each time."""
