"""A loop whose time is simulated: it jumps to the next thing that is due.

Theory of operation. Nothing here waits: when no callback is ready, the clock is set to the moment
of the next timer or arrival. *Arrivals* are what the selector of a real loop would report:
something of the network is ready. Each turn costs a little time too, so that several things come
due at once.

What asyncio promises is kept: callbacks of ``call_soon`` run in the order in which they were asked
for, whoever asked, and timers in the order of their times. The code relies on it (that a task has
begun is told by a callback that was asked for after it) and so may every program. What asyncio does
not promise is decided by the dice: in which order the arrivals of one turn are reported, the order
of timers with the same time, and whether arrivals or timers of a turn come first (asyncio's own
loop and uvloop differ in that).

One seed makes the same run each time. So a task's hash is its number, not its address: asyncio
keeps tasks in sets, and the order of those would change from run to run.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

__all__ = ["SimulatedLoop", "Stuck"]


_LEAST_COST = 1e-6


class Stuck(Exception):
    """The run will not end: nothing is due any more, or it takes too many turns."""


class NumberedTask(asyncio.Task):
    """A task that sets order by its number."""

    def __init__(self, coro: Coroutine[Any, Any, Any], **options: Any):
        self.number = next(options["loop"].numbers)
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without sockets and without waiting.

    Args:
        dice: decides what asyncio leaves open.
        turn_cost: the most that one turn takes, in seconds.
        most_turns: how many turns a run may take.

    Attributes:
        numbers: counts what needs an order.
        turns: taken so far.
        errors: what was reported to the loop's exception handler.
    """

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
        """Let nothing arrive any more: all connections have ended."""
        self._arrivals.clear()
        for handle in self._ready:
            # One of this turn, which would be reported after this.
            if isinstance(handle, _Arrival):
                handle.forget()

    def timers(self) -> list[events.TimerHandle]:
        """Return the timers that are due some time; those that were cancelled are let go."""
        self._scheduled[:] = [handle for handle in self._scheduled if not handle._cancelled]
        heapify(self._scheduled)
        return list(self._scheduled)

    def _run_once(self) -> None:
        self.turns += 1
        if self.turns > self._most_turns:
            raise Stuck(f"{self._most_turns} turns were not enough")
        ready = self._ready
        # Never nothing, as with a real clock: a timer with a rest of 1e-15 s would go off for ever.
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
        """Set the clock to the moment of what comes next."""
        for heap in self._scheduled, self._arrivals:
            while heap and _handle(heap[0])._cancelled:
                heappop(heap)
        times = [self._scheduled[0]._when] if self._scheduled else []
        times += [self._arrivals[0][0]] if self._arrivals else []
        if not times:
            raise Stuck("nothing is due any more, and not all has ended")
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

    # What BaseEventLoop leaves to its subclasses.

    def _write_to_self(self) -> None:
        """Nobody waits, so nobody is to be woken up."""

    def _process_events(self, event_list: Any) -> None:
        """Arrivals take the place of a selector's events."""


class _Arrival(events.Handle):
    """What the network reports."""

    def forget(self) -> None:
        """Do not report it, and hold nothing."""
        self.cancel()
        self._context = None


def _handle(entry: Any) -> events.Handle:
    return entry[2] if isinstance(entry, tuple) else entry
