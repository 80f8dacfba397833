"""Threads that wait for the reactor's loop: releases them, and finds their loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from broker.reactor.error import ReactorNotRunning

__all__ = ["LOOP_CLOSED", "WaitingThreads", "loop_of_main_thread"]

LOOP_CLOSED = "Event loop is closed: the asyncio loop that the reactor used has ended"

# Seconds between two checks of the loop, for a loop that ends without notice.
LOOK_AGAIN = 1.0

T = TypeVar("T")


class WaitingThreads:
    """The threads that wait for the outcome of a call in the reactor's loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: set[Future[Any]] = set()
        self._begun: set[Future[Any]] = set()
        self._is_ending = False

    def wait(self, outcome: Future[T], check: Callable[[], object]) -> T:
        """Return the outcome, or raise it.

        `check` is called now and every second; it raises if no outcome is possible any more.
        """
        with self._lock:
            self._queued.add(outcome)
        try:
            while True:
                try:
                    check()
                    return outcome.result(LOOK_AGAIN)
                except (RuntimeError, TimeoutError) as error:
                    if outcome.done():
                        return outcome.result()
                    if not isinstance(error, TimeoutError):
                        raise
        finally:
            with self._lock:
                self._queued.discard(outcome)
                self._begun.discard(outcome)
            del outcome  # an exception's traceback has this frame: a reference cycle

    def begun(self, outcome: Future[Any]) -> None:
        """Note that the call has been made, and that its outcome is not known yet."""
        with self._lock:
            self._begun.add(outcome)
            is_ending = self._is_ending
        if is_ending:
            self.release_begun()

    def begin(self) -> None:
        """Accept waiting threads again: there is a loop."""
        self._is_ending = False

    def release_begun(self) -> None:
        """Release threads whose call was made: the loop ends, and the outcome will not arrive."""
        with self._lock:
            self._is_ending = True
            outcomes = list(self._begun)
        _release(outcomes, "the reactor has stopped before the call had a result")

    def release_all(self) -> None:
        """Release all threads: the loop has ended, and no call is made any more."""
        self.release_begun()
        with self._lock:
            outcomes = list(self._queued)
        _release(outcomes, "the reactor has stopped before the call was made")

    def watch(self, then: Callable[[], Awaitable[object]]) -> AsyncGenerator[None, None]:
        """Do `release_begun` when the running loop shuts down its asynchronous generators.

        `asyncio.run` does that before it waits for its threads. `then` is called, and waited for,
        after that. The caller keeps the result.
        """

        async def until_the_end() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                self.release_begun()
                await then()

        generator = until_the_end()
        with suppress(StopIteration):
            generator.__anext__().send(None)
        return generator


def _release(outcomes: list[Future[Any]], text: str) -> None:
    for outcome in outcomes:
        with suppress(InvalidStateError):
            outcome.set_exception(ReactorNotRunning(text))


def loop_of_main_thread() -> asyncio.AbstractEventLoop | None:
    """Return the asyncio loop that runs in the main thread, or None.

    asyncio tells a thread only its own loop. So this searches the frames of the main thread.
    """
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        loop = None
        if frame.f_code is asyncio.Runner.run.__code__:
            loop = frame.f_locals["self"].get_loop()
        elif frame.f_code is asyncio.BaseEventLoop.run_forever.__code__:
            loop = frame.f_locals["self"]
        if loop is not None and loop.is_running():
            return loop  # type: ignore[no-any-return]
        frame = frame.f_back
    return None
