"""The Reactor: which event loop is its own, what waits for that loop, and how both end.

Theory of operation. A program says what it wants before any loop runs (`listenTCP`, `connectTCP`,
`callLater`, `callWhenRunning`); a Reactor keeps these wishes and needs no loop for it. It gets one
in one of two ways:

- *its own*: `run` makes a loop, runs it until `stop`, and closes it, with every connection, port
  and task in it. A Reactor runs once.
- *a guest*: called while an asyncio loop runs in this thread, a Reactor uses that one. Then it is
  running for as long as the loop is, `run` refuses, and `stop` closes what was opened through the
  Reactor and leaves the loop alone.

Whatever holds a socket (ports, connectors, accepted connections) is in one set, `_held`, from its
first moment in the loop to its last. Closing down is: tell each to let go, wait until none is left.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, Protocol

from .connectors import Connector
from .error import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning
from .ports import Port
from .stop_signals import on_stop_signals
from .timers import DelayedCall, TimerQueue

__all__ = ["Reactor"]

logger = logging.getLogger("broker.reactor")

# Turns a clock that never goes back into seconds since the epoch.
EPOCH = time.time() - time.monotonic()
# Seconds for what was cut to be gone; it takes a turn of the loop, unless a protocol was exchanged.
PATIENCE = 2.0
RESOLUTION = time.get_clock_info("monotonic").resolution


class Held(Protocol):
    """What holds a socket, and lets go of it when the reactor stops."""

    def abandon(self) -> object:
        """Let go of the socket; `Reactor.release` is called at once or soon after."""


class Reactor:
    """A Twisted reactor's vocabulary over an asyncio event loop.

    The functions of `broker.reactor` are those of one instance, made when that is imported. An
    instance of one's own serves where that one has run already, as in a test.

    Args:
        loop_factory: makes the loop of `run`, such as `uvloop.new_event_loop`; None is asyncio's.
    """

    def __init__(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None):
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Future[None] | None = None  # what `run` waits for, while it runs
        self._has_run = False
        self._is_closing = False
        self._waiting: deque[Callable[[], object]] = deque()
        self._from_threads: deque[Callable[[], object]] = deque()
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
        return loop is not None and loop.is_running() and not self._is_closing

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
        if self._attend() is not None and self.running:
            raise ReactorAlreadyRunning(
                "an event loop is running: the reactor uses it, and needs no run()"
            )
        if self._has_run:
            raise ReactorNotRestartable(
                "a reactor runs once; broker.reactor.Reactor() makes another"
            )
        signals = (
            on_stop_signals(lambda number: self.callFromThread(self._stop_for, number))
            if installSignalHandlers
            else nullcontext()
        )
        with signals, asyncio.Runner(loop_factory=self._loop_factory) as runner:
            self._has_run = True
            runner.run(self._main())

    def stop(self) -> None:
        """End `run`; in somebody else's loop, only close what the reactor opened (published).

        Ports stop listening, connection attempts fail, connections are lost (each protocol's
        `connectionLost` and each client factory's `clientConnectionLost` is called), and delayed
        calls are dropped.

        Raises:
            ReactorNotRunning: the reactor does not run, or is stopping.
        """
        if not self.running or (self._stopped is not None and self._stopped.done()):
            raise ReactorNotRunning("the reactor is not running, or was stopped before")
        if self._stopped is not None:
            self._stopped.set_result(None)
        else:
            self._let_go()

    def callWhenRunning(self, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call at once if the reactor runs, else as soon as it does (published)."""
        if self.running:
            callable(*args, **kwargs)
        else:
            self._waiting.append(partial(callable, *args, **kwargs))

    def callFromThread(self, f: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call in the loop's thread, soon; may be asked from any thread (published).

        Calls made before the reactor runs wait for it; those of one thread run in their order.
        """
        if not callable(f):
            raise TypeError(f"{f!r} is not callable")
        self._from_threads.append(partial(f, *args, **kwargs))
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed meanwhile: nobody is left to make the call
                loop.call_soon_threadsafe(_run_all, self._from_threads)

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

    # Connections.

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        """Listen on a TCP port; connections are accepted while the reactor runs (published).

        Port 0 is any free one: `listenTCP(0, factory).getHost().port`. The interface is an IPv4 or
        IPv6 address of this machine; empty is every IPv4 one. A factory whose `buildProtocol`
        returns None refuses that connection.

        Raises:
            CannotListenError: the address is taken, not ours, or not allowed.
        """
        return self._listen(Port(self, factory, port, interface, backlog))

    def listenSSL(
        self,
        port: int,
        factory: Any,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> Port:
        """Listen as `listenTCP` does, and speak TLS (published).

        `contextFactory.getContext()` returns the pyOpenSSL context.

        Raises:
            CannotListenError: the address is taken, not ours, or not allowed.
        """
        return self._listen(Port(self, factory, port, interface, backlog, contextFactory))

    def connectTCP(
        self,
        host: str,
        port: int | str,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> Connector:
        """Connect to a TCP port once the reactor runs; the factory hears how it goes (published).

        The port may be the name of a service. `timeout` is in seconds; None waits for ever.
        `bindAddress` is this end's address, or (address, port).

        Raises:
            ServiceNameUnknownError: this system lists no service of that name.
        """
        return self._connect(Connector(self, host, port, factory, timeout, bindAddress))

    def connectSSL(
        self,
        host: str,
        port: int | str,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | str | None = None,
    ) -> Connector:
        """Connect as `connectTCP` does, and speak TLS (published).

        `contextFactory.getContext()` returns the pyOpenSSL context, which decides what is verified.
        """
        return self._connect(
            Connector(self, host, port, factory, timeout, bindAddress, contextFactory)
        )

    @staticmethod
    def _listen(port: Port) -> Port:
        port.startListening()
        return port

    @staticmethod
    def _connect(connector: Connector) -> Connector:
        connector.connect()
        return connector

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
            self._is_closing = True
            self._let_go()
            if self._held:
                self._emptied.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._emptied.wait(), PATIENCE)
            self._let_go_of_loop()
            self._stopped = None
            self._is_closing = False

    def _begin(self) -> None:
        _run_all(self._from_threads)
        _run_all(self._waiting)
        self._set_alarm()

    def _let_go(self) -> None:
        self._waiting.clear()
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
        with suppress(ReactorNotRunning):
            self.stop()


def _run_all(calls: deque[Callable[[], object]]) -> None:
    """Make the calls that are queued now, unless they are dropped; what they raise is logged."""
    for _ in range(len(calls)):
        if not calls:
            return
        call = calls.popleft()
        try:
            call()
        except Exception:
            logger.exception("a call in the reactor raised: %r", call)
