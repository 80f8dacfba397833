"""Limits the time that the connections of one server take in one turn of the loop.

Each turn of the loop reads from every connection that has received bytes. If each could take
``turn_time`` seconds, a few hundred busy connections would delay all others. So together they get
about that much. A connection handles one message as soon as it has received bytes. If it has more,
it waits in one queue, in which all connections are served in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from broker.net.scheduler import Scheduler

__all__ = ["Turns"]

# The least seconds for a connection served from the queue: with less, most of the time would be
# spent on the change from one connection to the next.
_LEAST = 0.0002


class Turns:
    """The time of the connections of one server.

    Args:
        turn_time: seconds that they may take together in one turn of the loop, about: once when
            they receive bytes, and once from the queue.
    """

    __slots__ = ("_ends", "_is_serving", "_share", "_time", "_waiting")

    def __init__(self, turn_time: float):
        self._time = turn_time
        self._share = turn_time
        self._ends: float | None = None
        self._is_serving = False
        self._waiting: deque[Callable[[], object]] = deque()

    def deadline(self, scheduler: Scheduler) -> float:
        """Return the time at which a connection must stop and leave the rest for later."""
        now = scheduler.now()
        if self._is_serving:
            return now + self._share
        ends = self._ends
        if ends is None:
            self._ends = ends = now + self._time
            scheduler.soon(self._begin)
        return ends

    def ask(self, scheduler: Scheduler, run: Callable[[], object]) -> None:
        """Call ``run()`` in a later turn of the loop."""
        self._waiting.append(run)
        if len(self._waiting) == 1 and not self._is_serving:
            scheduler.soon(self._serve, scheduler)

    def _begin(self) -> None:
        """Begin a new turn of the loop."""
        self._ends = None

    def _serve(self, scheduler: Scheduler) -> None:
        waiting = self._waiting
        ends = scheduler.now() + self._time
        self._share = max(self._time / len(waiting), _LEAST)
        self._is_serving = True
        try:
            for _ in range(len(waiting)):
                waiting.popleft()()
                if scheduler.now() >= ends:
                    break
        finally:
            self._is_serving = False
            if waiting:
                scheduler.soon(self._serve, scheduler)
