"""The virtual clock: the time of an asyncio loop, which a test moves.

Theory of operation. The loop asks its selector to wait until the next timer. With the virtual
clock, the selector does not wait: if no socket is ready, the time jumps to that timer. So a test
takes no time for timers, and their order stays. Time does not pass otherwise.

Timers that were set before keep the real time, such as the time limit of the test. They are taken
out of the loop, and put back when they are due, or at the end.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from broker.net.scheduler import scheduler_of

__all__ = ["VirtualClock", "virtual_clock"]

T = TypeVar("T")

# Seconds of each turn: a timer that is 1e-15 s away would else not come.
_TURN = 1e-6


class VirtualClock:
    """The clock of one loop; see :func:`virtual_clock`."""

    def __init__(self) -> None:
        self._loop: Any = None
        self._now = 0.0
        self._begun = 0.0
        self._wait: Callable[[float | None], Any]
        self._real_time: Callable[[], float] | None = None
        # The real time of the end of the block.
        self._left = 0.0
        # The timers with the real time, a heap.
        self._held: list[Any] = []

    def __repr__(self) -> str:
        state = "" if self._loop is None else f", {self.elapsed:g} s"
        return f"<VirtualClock{state}>"

    def __enter__(self) -> Self:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # For `run`.
            return self
        self._take(loop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._give_back()

    def time(self) -> float:
        """Return the time of the loop, in seconds.

        After the block it goes on as the real time does.
        """
        if self._loop is None and self._real_time is not None:
            return self._now + self._real_time() - self._left
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds since the block was entered, or since `run` was called."""
        return self._now - self._begun

    def advance(self, seconds: float) -> None:
        """Let time pass: timers that are due then run in the next turns of the loop.

        Raises:
            ValueError: ``seconds`` is negative, or not a number.
            RuntimeError: no loop has this clock now.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): give seconds that are not negative")
        if self._loop is None:
            raise RuntimeError("no loop has this clock: enter it in a coroutine, or use run()")
        self._now += seconds

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a loop of its own that has this clock, and return its result.

        Raises:
            RuntimeError: a loop runs in this thread already, or has this clock.
        """
        if self._loop is not None:
            coroutine.close()
            raise RuntimeError("a loop has this clock already")
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            self._take(runner.get_loop())
            try:
                return runner.run(coroutine)
            finally:
                self._give_back()

    def _take(self, loop: Any) -> None:
        """Become the clock of a loop.

        Raises:
            RuntimeError: it is not one of asyncio's own loops, or has a virtual clock.
        """
        selector = getattr(loop, "_selector", None)
        if not isinstance(loop, asyncio.BaseEventLoop) or selector is None:
            kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
            raise RuntimeError(f"a virtual clock is for asyncio's own loops, not for {kind}")
        if "select" in vars(selector):
            raise RuntimeError("this loop has a virtual clock already")
        if loop.time == self.time:
            raise RuntimeError("this clock was in use: make another one with virtual_clock()")
        real_scheduler = scheduler_of(loop)
        self._loop = loop
        self._now = self._begun = loop.time()
        self._real_time, self._wait = loop.time, selector.select
        # Connections that are made from now on get another scheduler, with this clock.
        loop.time = self.time  # type: ignore[method-assign]
        real_scheduler.timeouts.hand_over()
        self._held, loop._scheduled = loop._scheduled, []  # type: ignore[attr-defined]
        for timer in self._held:
            # Of the counts of the loop.
            timer._scheduled = False
        selector.select = self._select

    def _give_back(self) -> None:
        loop: Any = self._loop
        if loop is None:
            return
        self._loop = None
        self._left = self._real()
        # A closed loop has no selector.
        if loop._selector is not None:
            del loop._selector.select
        # The loop keeps its time, which goes on from here: a clock does not go back.
        held, self._held = self._held, []
        for timer in held:
            timer._when += self._now - self._left
            self._put_back(loop, timer)

    def _put_back(self, loop: Any, timer: Any) -> None:
        """Set a timer of the real time again, unless it was cancelled."""
        if not timer.cancelled():
            timer._scheduled = True
            heapq.heappush(loop._scheduled, timer)

    def _real_wait(self) -> float | None:
        """Return the seconds until the next timer with the real time; None without one."""
        while self._held and self._held[0].cancelled():
            heapq.heappop(self._held)
        return max(0.0, self._held[0].when() - self._real()) if self._held else None

    def _real(self) -> float:
        return 0.0 if self._real_time is None else self._real_time()

    def _select(self, timeout: float | None = None) -> Any:
        """Return the sockets that are ready; without such, jump to the next timer."""
        self._now += _TURN
        real = self._real_wait()
        # Without a timer, only a socket, another thread or the real time can wake the loop.
        events = self._wait(real if timeout is None else 0)
        if real is not None and self._held[0].when() <= self._real():
            timer = heapq.heappop(self._held)
            timer._when = self._now
            self._put_back(self._loop, timer)
        elif not events and timeout:
            self._now += max(0.0, timeout)
        return events


def virtual_clock() -> VirtualClock:
    """Return a virtual clock, for ``with``: time moves only when the loop has nothing to do.

    In a coroutine it becomes the clock of the running loop until the end of the block. Without a
    running loop, `VirtualClock.run` runs a coroutine in a loop that has it. ::

        with broker.testing.virtual_clock() as clock:
            async with broker.testing.pair(office) as pair:
                task = asyncio.create_task(office.close_in_an_hour())
                clock.advance(1800)             # half an hour later
                await asyncio.sleep(1800)       # takes no time

    When all tasks wait for timers, time jumps to the first of them. Timers and connections that
    were made before the block keep the real time, so make connections inside. Threads and other
    processes are not waited for. ``time.time()`` and ``time.monotonic()`` do not change.

    Raises:
        RuntimeError: at the start of the block: the running loop is not one of asyncio's own loops,
            such as uvloop's, or has a virtual clock already; or this clock was in use by it.
    """
    return VirtualClock()
