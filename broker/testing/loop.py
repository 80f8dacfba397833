"""A loop whose time is simulated: it jumps to the next timer or arrival.

Theory of operation. The loop never waits: when no callback is ready, it sets the clock to the
moment of the next timer or arrival. *Arrivals* take the place of the events of a selector: the
network has something to read, or room to write. Each turn takes a little time too, so that several
timers may be due in one turn.

The promises of asyncio are kept: callbacks of ``call_soon`` run in the order of these calls, and
timers in the order of their times. The dice decide what asyncio leaves open: the order of the
arrivals of one turn, the order of timers with the same time, and whether arrivals or timers of a
turn come first (asyncio's own loop and uvloop differ in that).

One seed makes the same run each time. So a task's hash is its number, not its address: asyncio
keeps tasks in sets, and their order would else change from run to run.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from broker.net.scheduler import scheduler_of

__all__ = ["SimulatedLoop", "Stuck"]


_LEAST_COST = 1e-6


class Stuck(Exception):
    """The run would not end: no timer is set and nothing arrives, or it takes too many turns."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number."""

    def __init__(self, coro: Coroutine[Any, Any, Any], **options: Any):
        self.number: int = next(options["loop"].numbers)
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without sockets and without waiting.

    Args:
        dice: decides what asyncio leaves open.
        turn_cost: the longest time of one turn, in seconds.
        most_turns: the most turns of a run.

    Attributes:
        numbers: numbers for arrivals and tasks.
        turns: number of turns so far.
        errors: the contexts that the exception handler of the loop was called with.
    """

    # Of BaseEventLoop, without types: the callbacks of this turn, and a heap of timers.
    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self, dice: random.Random, *, turn_cost: float = 0.0, most_turns: int = 100_000):
        super().__init__()
        self.numbers = count()
        self.turns = 0
        self.errors: list[dict[str, Any]] = []
        self._dice = dice
        self._turn_cost = turn_cost
        self._most_turns = most_turns
        self._clock = 0.0
        self._arrivals: list[tuple[float, int, events.Handle]] = []
        self.set_exception_handler(lambda loop, context: self.errors.append(context))
        self.set_task_factory(
            lambda loop, coro, **options: NumberedTask(coro, loop=loop, **options)
        )

    def time(self) -> float:
        """Return the simulated clock, in seconds."""
        return self._clock

    def arrive(self, when: float, callback: Callable[..., object], *args: Any) -> events.Handle:
        """Report ``callback(*args)`` at a time, as a selector reports that a socket is ready."""
        handle = _Arrival(callback, args, self)
        heappush(self._arrivals, (when, next(self.numbers), handle))
        return handle

    def forget_arrivals(self) -> None:
        """Cancel all arrivals: all connections have ended."""
        self._arrivals.clear()
        for handle in self._ready:
            # Of this turn; it would be reported after this.
            if isinstance(handle, _Arrival):
                handle.forget()

    def timers(self) -> list[events.TimerHandle]:
        """Return the timers that are set, and forget those that were cancelled.

        One of them serves all `timeouts`, if there are any.
        """
        self._scheduled[:] = [handle for handle in self._scheduled if not handle._cancelled]
        heapify(self._scheduled)
        return list(self._scheduled)

    @property
    def timeouts(self) -> int:
        """The number of timeouts of connections that are set; see `broker.net.coarse_timers`."""
        return len(scheduler_of(self).timeouts)

    def _run_once(self) -> None:
        self.turns += 1
        if self.turns > self._most_turns:
            raise Stuck(f"{self._most_turns} turns were not enough")
        ready = self._ready
        # More than 0, as on a real clock: a timer that is 1e-15 s away would else not come.
        self._clock += _LEAST_COST
        if self._turn_cost:
            self._clock += self._dice.random() * self._turn_cost
        if not ready:
            self._jump()
        ready.extend(self._due())
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _jump(self) -> None:
        """Set the clock to the moment of the next timer or arrival."""
        for heap in self._scheduled, self._arrivals:
            while heap and _handle(heap[0])._cancelled:
                heappop(heap)
        times = [self._scheduled[0]._when] if self._scheduled else []
        times += [self._arrivals[0][0]] if self._arrivals else []
        if not times:
            raise Stuck("nothing is due any more, and the run has not ended")
        self._clock = max(self._clock, min(times))

    def _due(self) -> list[events.Handle]:
        clock, dice = self._clock, self._dice
        arrived = []
        while self._arrivals and self._arrivals[0][0] <= clock:
            arrived.append(heappop(self._arrivals)[2])
        if len(arrived) > 1:
            dice.shuffle(arrived)
        timers = []
        while self._scheduled and self._scheduled[0]._when <= clock:
            timer = heappop(self._scheduled)
            timer._scheduled = False
            timers.append(timer)
        if len(timers) > 1:
            timers.sort(key=lambda timer: (timer._when, dice.random()))
        if arrived and timers:
            return arrived + timers if dice.random() < 0.5 else timers + arrived
        return arrived or timers

    # BaseEventLoop leaves these to its subclasses.

    def _write_to_self(self) -> None:
        """Wake nothing: the loop never waits."""

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: arrivals take the place of a selector's events."""


class _Arrival(events.Handle):
    """One arrival."""

    def forget(self) -> None:
        """Cancel it, and hold no objects."""
        self.cancel()
        self._context = None


def _handle(entry: Any) -> Any:
    return entry[2] if isinstance(entry, tuple) else entry
