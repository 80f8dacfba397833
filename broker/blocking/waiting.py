"""The wait of a thread for an awaitable that runs in the loop of another thread."""

from __future__ import annotations

import asyncio
import os
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Generic, TypeVar

from broker.blocking.timeouts import current_limit

__all__ = ["Waiting"]

T = TypeVar("T")

# Seconds that a cancelled awaitable has to end before the interrupt is raised.
_END = 1.0
# Seconds after which the thread looks for signals: where a signal does not interrupt a lock.
_SLICE = None if os.name == "posix" else 0.2


class Waiting(Generic[T]):
    """One wait.

    Theory of operation. The awaitable runs as a task, in a copy of the context of the thread. It
    delivers its outcome through a `concurrent.futures.Future`. An exception that comes to the
    waiting thread itself, such as KeyboardInterrupt, cancels the task. It is raised when the task
    has ended, so that the peer has been told by then.

    Args:
        loop: runs in another thread.
        make: called in the loop; returns the awaitable, or None.
    """

    __slots__ = ("_is_cancelled", "_loop", "_make", "_outcome", "_task")

    def __init__(self, loop: AbstractEventLoop, make: Callable[[], Awaitable[T] | None]):
        self._loop = loop
        self._make = make
        self._outcome: Future[T] = Future()
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False

    def result(self) -> T:
        """Wait for the awaitable; return its result, or raise its exception.

        Raises:
            CallTimeout: the time of ``blocking.timeout`` is over.
            RuntimeError: the loop is closed.
        """
        outcome = self._outcome
        try:
            self._loop.call_soon_threadsafe(self._begin)
            while _SLICE is not None and not outcome.done():
                wait([outcome], _SLICE)
            return outcome.result()
        except BaseException:
            if not outcome.done():
                self._give_up()
            raise
        finally:
            # The outcome has the exception, whose traceback has this frame: a reference cycle.
            del outcome, self

    def _give_up(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel)
            wait([self._outcome], _END)

    def _begin(self) -> None:
        if not self._is_cancelled:
            self._task = self._loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self._task is None:
            self._outcome.set_exception(asyncio.CancelledError())
        else:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._outcome.done():
            # It was cancelled before its first step.
            self._outcome.set_exception(asyncio.CancelledError())

    async def _run(self) -> None:
        try:
            limit = current_limit()
            if limit is None:
                result = await _awaited(self._make)
            else:
                async with limit.in_loop():
                    result = await _awaited(self._make)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(result)  # type: ignore[arg-type]
        finally:
            # This frame is in the traceback of the error, which the outcome has: a cycle.
            del self


async def _awaited(make: Callable[[], Awaitable[T] | None]) -> T | None:
    awaitable = make()
    try:
        return None if awaitable is None else await awaitable
    finally:
        # The same: a Deferred has its error.
        del awaitable, make
