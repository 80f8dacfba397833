"""The threads of a reactor: calls from threads into the loop, and from the loop to threads."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from broker.printable import repr_of
from broker.reactor.engine.thread_pool import ThreadPool
from broker.reactor.engine.waiting_threads import LOOP_CLOSED, WaitingThreads, loop_of_main_thread
from broker.reactor.error import ReactorNotRunning
from broker.traces import log_error

__all__ = ["LoopThreads", "run_all"]

logger = logging.getLogger("broker.reactor")

T = TypeVar("T")


class LoopThreads:
    """The part of a Mainloop that deals with threads."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # The loop of `run` has ended. It does not exist yet when `run` begins.
        self._is_over = False
        self._threads: ThreadPool | None = None
        self._from_threads: deque[Callable[[], object]] = deque()
        self._threads_waiting = WaitingThreads()
        self._ends: list[Callable[[bool], object]] = []

    def _current_loop(self) -> asyncio.AbstractEventLoop | None:
        raise NotImplementedError

    def with_loop(self, f: Callable[[asyncio.AbstractEventLoop], object]) -> None:
        """Call `f(loop)` now if there is a loop, else when there is one."""
        raise NotImplementedError

    def adopt_running_loop(self) -> None:
        """Use the asyncio loop that runs in this thread, unless the reactor has a running loop."""
        if self._loop is None or not self._loop.is_running():
            self._current_loop()

    def callFromThread(self, f: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call in the loop's thread, soon; may be called from any thread (published).

        Calls made before the reactor runs wait for it; those of one thread run in their order. If
        the main thread runs an asyncio loop, such as in `asyncio.run`, the reactor becomes its
        guest, and the call is made there. After the end no call is made.

        Raises:
            RuntimeError: the asyncio loop that the reactor used is closed.
        """
        if not callable(f):
            raise TypeError(f"{f!r} is not callable")
        call = partial(f, *args, **kwargs)
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = loop_of_main_thread() or loop
        if loop is None and self._is_over:
            logger.warning("callFromThread after the reactor has stopped: %s", repr_of(f, 200))
        self._from_threads.append(call)
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._run_from_threads)
        except RuntimeError:
            with suppress(ValueError):
                self._from_threads.remove(call)
            raise RuntimeError(f"{LOOP_CLOSED}; the call is not made") from None

    def wait_in_thread(self, outcome: Future[T]) -> T:
        """Wait in another thread for the outcome of a `callFromThread` call; return or raise it.

        Raises:
            ReactorNotRunning: the reactor has stopped.
            RuntimeError: the asyncio loop that the reactor used is closed.
        """
        try:
            return self._threads_waiting.wait(outcome, self._check_loop)
        finally:
            del outcome  # an exception's traceback has this frame: a reference cycle

    def _check_loop(self) -> None:
        loop = self._loop
        is_closed = loop is not None and loop.is_closed()
        if not is_closed and not (loop is None and self._is_over):
            return
        if loop_of_main_thread() is not None:
            return
        if is_closed:
            raise RuntimeError(LOOP_CLOSED)
        raise ReactorNotRunning("the reactor has stopped, and no loop is left to make the call")

    def wait_has_begun(self, outcome: Future[Any]) -> None:
        """Note that the call that a thread waits for was made, and has no outcome yet."""
        self._threads_waiting.begun(outcome)

    def _run_from_threads(self) -> None:
        self._current_loop()
        run_all(self._from_threads)

    def getThreadPool(self) -> ThreadPool:
        """Return the pool of `callInThread`, which works while the reactor runs (published).

        When the reactor stops, it waits for the running calls.
        """
        if self._threads is None:
            self._threads = ThreadPool(0, 10, "broker.reactor")
            self.with_loop(lambda loop: self.getThreadPool().start())
        return self._threads

    def callInThread(
        self, _callable: Callable[..., object], *args: object, **kwargs: object
    ) -> None:
        """Call in a thread, once the reactor runs; an exception is logged (published)."""
        self.getThreadPool().callInThread(_callable, *args, **kwargs)

    def suggestThreadPoolSize(self, size: int) -> None:
        """Let up to `size` calls of `callInThread` run at once; default 10 (published)."""
        self.getThreadPool().adjustPoolsize(maxthreads=size)

    def end_with_loop(self, end: Callable[[bool], object]) -> None:
        """Call `end(wait)` once, when the loop ends, for threads that make calls into the loop.

        `wait` says whether to wait for these threads. Then `end` is called in another thread, and
        the loop runs meanwhile. A thread may thus wait for a call in the loop without a deadlock.
        """
        self._ends.append(end)

    def forget_end(self, end: Callable[[bool], object]) -> None:
        """Do not call `end` any more, if that is pending."""
        with suppress(ValueError):
            self._ends.remove(end)

    async def _end_threads(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the threads of `getThreadPool`, then the others; wait for their calls."""
        if (threads := self._take_threads()) is not None:
            await asyncio.to_thread(threads.stop)
        await self._end_others(loop)

    async def _end_others(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the calls of `end_with_loop`, unless the reactor has another loop by now."""
        while self._loop is loop and self._ends:
            await asyncio.to_thread(self._ends.pop(0), True)

    def _abandon_threads(self) -> None:
        """Do as `_end_threads`, without waiting."""
        if (threads := self._take_threads()) is not None:
            threads.end(wait=False)
        while self._ends:
            self._ends.pop(0)(False)

    def _take_threads(self) -> ThreadPool | None:
        threads, self._threads = self._threads, None
        return threads if threads is not None and threads.started else None


def run_all(calls: deque[Callable[[], object]]) -> None:
    """Make the calls that are queued now, unless they are dropped; log their exceptions."""
    for _ in range(len(calls)):
        if not calls:
            return
        call = calls.popleft()
        try:
            call()
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"a call in the reactor raised: {repr_of(call, 200)}", exc)
