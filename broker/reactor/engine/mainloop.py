"""The Mainloop: the event loop of a reactor, the requests that wait for it, and the shutdown.

Theory of operation. A program makes requests before any loop runs (`listenTCP`, `connectTCP`,
`callLater`, `callWhenRunning`). A Mainloop keeps these requests and does not need a loop for that.
It gets a loop in one of two ways:

- *its own*: `run` makes a loop, runs it until `stop`, and closes it, with every connection, port
  and task in it. A Mainloop runs once. After `startRunning` the program runs that loop itself, by
  `iterate`. A loop given to `use_loop` is run instead, and is not closed.
- *as a guest*: a Mainloop that is called while an asyncio loop runs in this thread uses that loop.
  Then it is running as long as the loop is. `run` raises an error, and `stop` closes the sockets
  that were opened through it but does not stop the loop.

Each object that holds a socket (port, connector, accepted connection) is in one set, `_held`, from
its first moment in the loop to its last. The shutdown has these steps. Fire the first phase of the
shutdown event, and wait for its results while all connections are open. Tell each object in `_held`
to close its socket, and wait until the set is empty. End the threads. Fire the other phases.
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

# Converts the time of a monotonic clock to seconds since the epoch.
EPOCH = time.time() - time.monotonic()
# Seconds to wait until aborted connections are closed. That takes one turn of the loop, unless a
# protocol was exchanged.
CLOSE_TIMEOUT = 2.0
RESOLUTION = time.get_clock_info("monotonic").resolution


class Held(Protocol):
    """An object that holds a socket, and closes it when the reactor stops."""

    def abandon(self) -> object:
        """Close the socket; `Mainloop.release` is called at once or soon after."""


class Mainloop(LoopThreads):
    """An asyncio event loop with the methods of a Twisted reactor: run, stop, time, threads.

    Args:
        loop_factory: makes the loop of `run`, such as `uvloop.new_event_loop`; None means
            asyncio's.
    """

    def __init__(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None):
        super().__init__()
        self._loop_factory = loop_factory
        self._given_loop: asyncio.AbstractEventLoop | None = None
        self._has_run = False
        self._steps: Steps | None = None  # the loop, if the program runs it in steps
        self._stopped: asyncio.Future[None] | None = None  # what `run` waits for, while it runs
        self._is_starting = False
        self._is_closing = False
        self._events = SystemEvents()
        self._ending: Deferred[None] | None = None  # what the shutdown waits for
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
        """Whether the loop runs, and the shutdown has not begun (published)."""
        loop = self._current_loop()
        is_turned = loop is not None and (loop.is_running() or self._steps is not None)
        return is_turned and not self._is_closing

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run in this loop, which the program still owns.

        Raises:
            ReactorAlreadyRunning: the reactor has a loop already.
        """
        if self._loop is not None or self._has_run:
            raise ReactorAlreadyRunning("the reactor has an event loop already")
        self._given_loop = loop
        # For a program that runs the loop itself, without `run` or `startRunning`.
        loop.call_soon(lambda: None if self._has_run else self._current_loop())

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run an event loop until `stop`, then close all connections and ports (published).

        SIGINT and SIGTERM stop the reactor, and `run` returns as after `stop`. A handler that the
        program set for SIGINT stays. With `installSignalHandlers` false, SIGINT raises
        KeyboardInterrupt here. An exception of a callback is logged; SystemExit ends the loop, and
        is raised here after the shutdown.

        Raises:
            ReactorAlreadyRunning: the reactor runs, or an event loop runs in this thread.
            ReactorNotRestartable: the reactor has run before.
            ValueError: signal handlers cannot be installed outside the main thread.
        """
        self._check_may_run()
        with self._signals(installSignalHandlers):
            self._has_run = True
            try:
                self._run_to_end()
            finally:
                self._is_over = True

    def _run_to_end(self) -> None:
        if self._given_loop is not None:
            self._given_loop.run_until_complete(self._main())
            return
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._main())

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        """Begin as `run` does, and return: the program runs the loop itself (published).

        The program calls `iterate`, or runs the loop that it gave to `asyncioreactor.install`,
        which `stop` then ends. If an event loop runs in this thread already, this does nothing: the
        reactor uses that loop.

        Raises:
            ReactorAlreadyRunning, ReactorNotRestartable, ValueError: as `run`.
        """
        if self._steps is None and self._current_loop() is not None and self.running:
            return
        self._check_may_run()
        signals = self._signals(installSignalHandlers)
        self._steps = Steps(self._main, self._given_loop, self._loop_factory, signals)
        self._has_run = True
        self._steps.begin()

    def iterate(self, delay: float = 0.0) -> None:
        """Run the loop for `delay` seconds, at least one turn (published).

        A reactor that does not run begins, as by `startRunning`. After `stop` the next call does
        the shutdown.

        Raises:
            RuntimeError: the loop runs: the caller is a callback of the loop.
            ReactorNotRestartable, ReactorNotRunning: the reactor has run before.
        """
        loop = self._current_loop()
        if loop is not None and loop.is_running():
            raise RuntimeError("iterate() was called by a callback of the running loop")
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
        if self._current_loop() is not None and self.running:
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
        """End `run`. In a loop of the program, only close what the reactor opened (published).

        The results of the triggers before shutdown are waited for. Then ports stop listening,
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
        self, callable: Callable[..., object], *args: object, **kwargs: object
    ) -> Trigger | None:
        """Call at once if the reactor runs, else as soon as it does (published).

        In the second case it returns the id for `removeSystemEventTrigger`.
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
        *args: object,
        **kwargs: object,
    ) -> Trigger:
        """Call when an event happens, once (published).

        Args:
            phase: ``"before"``, ``"during"`` or ``"after"``. A Deferred or an awaitable that a call
                before an event returns is waited for.
            eventType: ``"startup"``; ``"shutdown"``; or another name for `fireSystemEvent`.
                Connections work before shutdown, and have ended during it.
            callable, args, kwargs: the call. Its exception is logged.

        Returns:
            The id for `removeSystemEventTrigger`.

        Raises:
            KeyError: there is no such phase.
        """
        return self._events.add(phase, eventType, partial(callable, *args, **kwargs))

    def removeSystemEventTrigger(self, triggerID: Trigger) -> None:
        """Remove a call of `addSystemEventTrigger` or `callWhenRunning` (published).

        Raises:
            ValueError: it was made, or removed before.
        """
        self._events.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Fire an event (published). The shutdown event does not stop the reactor."""
        self._events.fire(eventType)

    # Time.

    @staticmethod
    def seconds() -> float:
        """Return the seconds since the epoch, from a monotonic clock (published)."""
        return EPOCH + time.monotonic()

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall:
        """Call after `delay` seconds, but not before the reactor runs (published).

        Raises:
            ValueError: the delay is negative.
        """
        self._current_loop()
        return self._timers.add(delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the delayed calls that are not made yet, in no order (published)."""
        return self._timers.pending()

    # Called by ports and connectors.

    def with_loop(self, f: Callable[[asyncio.AbstractEventLoop], object]) -> None:
        """Call `f(loop)` now if there is a loop, else when there is one."""
        loop = self._current_loop()
        if loop is None or self._is_closing:
            self._waiting.append(lambda: f(asyncio.get_running_loop()))
        else:
            f(loop)

    def hold(self, held: Held) -> None:
        """Keep an object with a socket until it is released or the reactor stops."""
        self._held.add(held)

    def release(self, held: Held) -> None:
        """Forget an object that has closed its socket."""
        self._held.discard(held)
        if not self._held:
            self._emptied.set()

    # The loop.

    def _current_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the reactor's loop; adopt the one that runs in this thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if self._loop is not None and self._loop.is_closed():
            # The reactor was a guest of a loop that is closed, with all its connections.
            self._let_go_of_loop()
            self._timers.clear()
            self._held.clear()
        if running is not None and running is not self._loop:
            if self._loop is not None and self._loop.is_running():
                raise RuntimeError("the reactor's loop runs in another thread: use callFromThread")
            self._let_go_of_loop()
            self._loop = running
            self._guest_watch = self._threads_waiting.watch(partial(self._end_others, running))
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
                    await asyncio.wait_for(self._emptied.wait(), CLOSE_TIMEOUT)
            await self._end_threads(loop)
            self._events.after("shutdown")
            self._threads_waiting.release_all()
            self._is_over = True
            self._let_go_of_loop()
            self._stopped = None
            self._is_closing = False

    def _end_as_guest(self, _: None) -> None:
        # Do not wait here: the loop may end at any moment, and the rest would never run.
        self._ending = None
        self._let_go()
        self._abandon_threads()
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
