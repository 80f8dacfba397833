"""The Mainloop: which event loop is its own, what waits for that loop, and how both end.

Theory of operation. A program says what it wants before any loop runs (`listenTCP`, `connectTCP`,
`callLater`, `callWhenRunning`); a Mainloop keeps these wishes and needs no loop for it. It gets one
in one of two ways:

- *its own*: `run` makes a loop, runs it until `stop`, and closes it, with every connection, port
  and task in it. A Mainloop runs once. After `startRunning` the program turns that loop itself, by
  `iterate`. A loop that `use_loop` was given is run in its place, and is not closed.
- *a guest*: called while an asyncio loop runs in this thread, a Mainloop uses that one. Then it
  is running for as long as the loop is, `run` refuses, and `stop` closes what was opened through
  it and leaves the loop alone.

Whatever holds a socket (ports, connectors, accepted connections) is in one set, `_held`, from its
first moment in the loop to its last. Closing down is: let the first phase of the shutdown event
happen, and wait for what it returns, with all connections up; tell each in `_held` to let go, and
wait until none is left; end the threads; let the other phases happen.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol

from broker.defer import Deferred
from broker.reactor.engine.loop_threads import LoopThreads, run_all
from broker.reactor.engine.steps import Steps
from broker.reactor.engine.stop_signals import on_stop_signals
from broker.reactor.engine.system_events import SystemEvents, Trigger
from broker.reactor.engine.timers import DelayedCall, TimerQueue
from broker.reactor.error import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning

__all__ = ["Mainloop"]

logger = logging.getLogger("broker.reactor")

# Turns a clock that never goes back into seconds since the epoch.
EPOCH = time.time() - time.monotonic()
# Seconds for what was cut to be gone; it takes a turn of the loop, unless a protocol was exchanged.
PATIENCE = 2.0
RESOLUTION = time.get_clock_info("monotonic").resolution


class Held(Protocol):
    """What holds a socket, and lets go of it when the reactor stops."""

    def abandon(self) -> object:
        """Let go of the socket; `Mainloop.release` is called at once or soon after."""


class Mainloop(LoopThreads):
    """An asyncio event loop in a Twisted reactor's vocabulary: running, ending, time, threads.

    Args:
        loop_factory: makes the loop of `run`, such as `uvloop.new_event_loop`; None is asyncio's.
    """

    def __init__(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None):
        super().__init__()
        self._loop_factory = loop_factory
        self._given_loop: asyncio.AbstractEventLoop | None = None
        self._steps: Steps | None = None  # the loop, where the program turns it itself
        self._stopped: asyncio.Future[None] | None = None  # what `run` waits for, while it runs
        self._is_starting = False
        self._is_closing = False
        self._events = SystemEvents()
        self._ending: Deferred[None] | None = None  # what the shutdown waits for, while it does
        self._waiting: deque[Callable[[], object]] = deque()
        self._guest_watch: Any = None
        self._timers = TimerQueue(self.seconds, self._set_alarm)
        self._alarm: asyncio.TimerHandle | None = None
        self._is_ringing = False
        self._held: set[Held] = set()
        self._emptied = asyncio.Event()

    # Running.

    @property
    def running(self) -> bool:
        """Whether the loop runs, and has not begun to close down (published)."""
        loop = self._attend()
        is_turned = loop is not None and (loop.is_running() or self._steps is not None)
        return is_turned and not self._is_closing

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run in this loop, which the program goes on to own.

        Raises:
            ReactorAlreadyRunning: the reactor has a loop already.
        """
        if self._loop is not None or self._has_run:
            raise ReactorAlreadyRunning("the reactor has an event loop already")
        self._given_loop = loop
        # Where the program runs the loop itself, and neither `run` nor `startRunning` is called.
        loop.call_soon(lambda: None if self._has_run else self._attend())

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run an event loop until `stop`, then close all that was opened here (published).

        SIGINT and SIGTERM stop the reactor, and `run` returns as after `stop`; a handler that the
        program gave to SIGINT stays. With `installSignalHandlers` false, SIGINT raises
        KeyboardInterrupt here. What a callback raises is logged; SystemExit ends the loop, and is
        raised here after closing down.

        Raises:
            ReactorAlreadyRunning: the reactor runs, or an event loop runs in this thread.
            ReactorNotRestartable: the reactor has run before.
            ValueError: signal handlers cannot be installed outside the main thread.
        """
        self._check_may_run()
        with self._signals(installSignalHandlers):
            self._has_run = True
            if self._given_loop is not None:
                self._given_loop.run_until_complete(self._main())
                return
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._main())

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        """Begin as `run` does, and return: the program turns the loop itself (published).

        It does so by `iterate`, or runs the loop that it gave to `asyncioreactor.install`, which
        `stop` then ends. Where an event loop runs in this thread already, nothing is done: the
        reactor uses that one.

        Raises:
            ReactorAlreadyRunning, ReactorNotRestartable, ValueError: as `run`.
        """
        if self._steps is None and self._attend() is not None and self.running:
            return
        self._check_may_run()
        signals = self._signals(installSignalHandlers)
        self._steps = Steps(self._main, self._given_loop, self._loop_factory, signals)
        self._has_run = True
        self._steps.begin()

    def iterate(self, delay: float = 0.0) -> None:
        """Turn the loop for `delay` seconds, once at least (published).

        A reactor that does not run begins, as by `startRunning`. After `stop` the next call of this
        closes all down.

        Raises:
            RuntimeError: the loop runs: this is called by what runs in it.
            ReactorNotRestartable, ReactorNotRunning: the reactor has run before.
        """
        loop = self._attend()
        if loop is not None and loop.is_running():
            raise RuntimeError("iterate() was called by what the reactor's loop runs")
        if self._steps is None:
            self.startRunning(installSignalHandlers=False)
        steps = self._steps
        if steps is None or self._stopped is None:
            raise ReactorNotRunning("the reactor has stopped")
        if self._stopped.done():
            steps.finish()
        else:
            steps.turn(delay)
        if steps.is_over:
            self._steps = None

    def _check_may_run(self) -> None:
        if self._attend() is not None and self.running:
            raise ReactorAlreadyRunning(
                "an event loop is running: the reactor uses it, and needs no run()"
            )
        if self._has_run:
            raise ReactorNotRestartable(
                "a reactor runs once; broker.reactor.Reactor() makes another"
            )

    def _signals(self, are_handled: bool) -> AbstractContextManager[object]:
        if not are_handled:
            return nullcontext()
        return on_stop_signals(lambda number: self.callFromThread(self._stop_for, number))

    def stop(self) -> None:
        """End `run`; in somebody else's loop, only close what the reactor opened (published).

        What the triggers before shutdown return is waited for. Then ports stop listening,
        connection attempts fail, connections are lost (each protocol's `connectionLost` and each
        client factory's `clientConnectionLost` is called), and delayed calls are dropped.

        Raises:
            ReactorNotRunning: the reactor does not run, or is stopping.
        """
        stopped = self._stopped
        if not self.running or self._ending or (stopped is not None and stopped.done()):
            raise ReactorNotRunning("the reactor is not running, or was stopped before")
        if stopped is not None:
            stopped.set_result(None)
        else:
            self._ending = self._events.before("shutdown")
            self._ending.addCallback(self._end_as_guest)

    def callWhenRunning(
        self, callable: Callable[..., object], *args: Any, **kwargs: Any
    ) -> Trigger | None:
        """Call at once if the reactor runs, else as soon as it does (published).

        In the second case it returns what `removeSystemEventTrigger` takes.
        """
        if self.running and not self._is_starting:
            callable(*args, **kwargs)
            return None
        return self._events.add("after", "startup", partial(callable, *args, **kwargs))

    def addSystemEventTrigger(
        self,
        phase: str,
        eventType: str,
        callable: Callable[..., object],
        *args: Any,
        **kwargs: Any,
    ) -> Trigger:
        """Call when an event happens, once (published).

        Args:
            phase: ``"before"``, ``"during"`` or ``"after"``. What is returned before an event, a
                Deferred or an awaitable, is waited for.
            eventType: ``"startup"``; ``"shutdown"``, where connections still work before, and have
                ended during; or a name of one's own, which `fireSystemEvent` takes.
            callable, args, kwargs: the call. What it raises is logged.

        Returns:
            What `removeSystemEventTrigger` takes.

        Raises:
            KeyError: there is no such phase.
        """
        return self._events.add(phase, eventType, partial(callable, *args, **kwargs))

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Do not make a call of `addSystemEventTrigger` or `callWhenRunning` (published).

        Raises:
            ValueError: it was made, or removed before.
        """
        self._events.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Let an event happen (published). The shutdown event does not stop the reactor."""
        self._events.fire(eventType)

    # Time.

    @staticmethod
    def seconds() -> float:
        """Return the seconds since the epoch, on a clock that is never set back (published)."""
        return EPOCH + time.monotonic()

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> DelayedCall:
        """Call `delay` seconds from now, and not before the reactor runs (published).

        Raises:
            ValueError: the delay is negative.
        """
        self._attend()
        return self._timers.add(delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the delayed calls that are still to be made, in no order (published)."""
        return self._timers.pending()

    # For ports and connectors.

    def with_loop(self, f: Callable[[asyncio.AbstractEventLoop], object]) -> None:
        """Call `f(loop)` now if there is a loop, else as soon as there is."""
        loop = self._attend()
        if loop is None or self._is_closing:
            self._waiting.append(lambda: f(asyncio.get_running_loop()))
        else:
            f(loop)

    def hold(self, held: Held) -> None:
        """Keep what holds a socket, until it is released or the reactor stops."""
        self._held.add(held)

    def release(self, held: Held) -> None:
        """Forget what holds no socket any more."""
        self._held.discard(held)
        if not self._held:
            self._emptied.set()

    # The loop.

    def _attend(self) -> asyncio.AbstractEventLoop | None:
        """Return the reactor's loop; adopt the one that runs in this thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if self._loop is not None and self._loop.is_closed():
            # A loop that the reactor was a guest of; what lived in it is gone.
            self._let_go_of_loop()
            self._timers.clear()
            self._held.clear()
        if running is not None and running is not self._loop:
            if self._loop is not None and self._loop.is_running():
                raise RuntimeError("the reactor's loop runs in another thread: use callFromThread")
            self._let_go_of_loop()
            self._loop = running
            self._guest_watch = self._threads_waiting.watch()
            running.call_soon(self._begin)
        return self._loop

    async def _main(self) -> None:
        self._let_go_of_loop()
        self._loop = loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        loop.call_soon(self._begin)
        try:
            await self._stopped
        finally:
            self._ending = self._events.before("shutdown")
            await self._ending
            self._ending = None
            self._is_closing = True
            self._let_go()
            if self._held:
                self._emptied.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), PATIENCE)
            if (threads := self._take_threads()) is not None:
                await asyncio.to_thread(threads.stop)
            self._events.after("shutdown")
            self._threads_waiting.release_all()
            self._let_go_of_loop()
            self._stopped = None
            self._is_closing = False

    def _end_as_guest(self, _: None) -> None:
        # What waits for a loop that may be gone in a moment would never happen.
        self._ending = None
        self._let_go()
        if (threads := self._take_threads()) is not None:
            threads.abandon()
        self._events.after("shutdown")
        self._threads_waiting.begin()

    def _begin(self) -> None:
        self._threads_waiting.begin()
        run_all(self._from_threads)
        run_all(self._waiting)
        self._set_alarm()
        self._is_starting = True
        self._events.before("startup").addCallback(self._begun)

    def _begun(self, _: None) -> None:
        self._is_starting = False
        self._events.after("startup")

    def _let_go(self) -> None:
        self._threads_waiting.release_begun()
        self._waiting.clear()
        self._events.forget("startup")
        self._timers.clear()
        self._set_alarm()
        for held in list(self._held):
            held.abandon()

    def _let_go_of_loop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._loop = None

    def _set_alarm(self) -> None:
        """Make the loop wake up for the first delayed call."""
        if self._loop is None or self._is_ringing:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        first = None if self._is_closing else self._timers.next_time()
        if first is not None:
            self._alarm = self._loop.call_later(max(0.0, first - self.seconds()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._is_ringing = True
        try:
            self._timers.run_due(RESOLUTION)
        finally:
            self._is_ringing = False
            self._set_alarm()

    def _stop_for(self, number: int) -> None:
        logger.info("received %s, shutting down", signal.Signals(number).name)
        if self._ending is not None:
            self._ending.cancel()
        with suppress(ReactorNotRunning):
            self.stop()
