"""The event loop of the synchronous API: one for each process, in a thread of its own.

Theory of operation. The first use starts a daemon thread. When the interpreter exits, all that was
opened in the loop is closed, and the thread ends. A child process that was forked gets a loop of
its own at its first use; the objects of its parent refuse to work there.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import logging
import os
import threading
import warnings
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar
from weakref import WeakSet

from broker.background import start_thread
from broker.blocking.waiting import Waiting
from broker.flavors.posted import take_posts
from broker.opening import Opening
from broker.traces import log_error

__all__ = ["Background", "Close", "ClosedByBlock", "background", "loop", "started"]

logger = logging.getLogger("broker.blocking")

T = TypeVar("T")

Close: TypeAlias = Callable[[float], Awaitable[object]]
"""Closes what was opened; it gets the seconds that running calls have to end."""

FORKED = "this process was forked after broker.blocking had started; connect in the child"

DRAIN = 1.0
"""Seconds that running calls have to end when the interpreter exits."""

# Seconds after which the exit goes on, although a connection or the thread has not ended.
_LAST = 3.0


class Background:
    """The loop, its thread, and what was opened in it.

    Attributes:
        loop: the loop.
        is_forked: whether this process is a child of the one that started the loop.
        opened: the open connections and servers, each with the function that closes it when the
            interpreter exits. Only code in the loop changes it.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.is_forked = False
        self.opened: dict[object, Close] = {}
        self._threads: WeakSet[threading.Thread] = WeakSet()
        # The tasks of `begin`, of which a loop has weak references only.
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_ending = False
        take_posts(self.loop)
        self._thread = start_thread(self._run, "broker.blocking")

    @property
    def is_here(self) -> bool:
        """Whether this is the thread of the loop."""
        return threading.get_ident() == self._thread.ident

    def check(self, what: str, instead: str) -> None:
        """Check that the current thread may wait for the loop.

        A coroutine that waits blocks the loop that runs it; the first one in a process causes a
        RuntimeWarning.

        Args:
            what: the function that waits, for the texts.
            instead: what a coroutine uses in its place.

        Raises:
            RuntimeError: this is the thread of the loop, or a forked child process.
        """
        self.check_process()
        if self.is_here:
            raise RuntimeError(
                f"blocking.{what} in the loop's thread would wait for itself; use {instead}"
            )
        if _get_running_loop() is not None and not _process.has_warned:
            _warn(what, instead)

    def check_process(self) -> None:
        """Raise RuntimeError if this is a forked child process."""
        if self.is_forked:
            raise RuntimeError(FORKED)

    def wait(self, make: Callable[[], Awaitable[T] | None]) -> T:
        """Call ``make()`` in the loop, wait for the awaitable, and return its result.

        KeyboardInterrupt, and any other exception that comes to this thread, cancels it.
        """
        return Waiting(self.loop, make).result()

    def run(self, awaitable: Awaitable[T], what: str = "run") -> T:
        """Wait for an awaitable of the program; see `Connection.run`."""
        try:
            self.check(what, "await")
        except RuntimeError:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise
        return self.wait(lambda: awaitable)

    def open(self, opening: Opening[T], opened: Callable[[T], Close]) -> T:
        """Wait for what is to be opened, and note it.

        Args:
            opening: the connection or server to be opened.
            opened: called in the loop with the result of ``opening``; returns the function that
                closes it.
        """
        made: list[T] = []

        async def enter() -> T:
            made.append(await opening)
            self.opened[made[0]] = opened(made[0])
            return made[0]

        try:
            return self.wait(enter)
        except BaseException:
            opening.close()
            for found in made:
                # The interrupt has come when it was just opened.
                self.begin(self._discard, found)
            raise

    async def _discard(self, found: object) -> None:
        close = self.opened.pop(found, None)
        if close is not None:
            await close(0.0)

    def start_thread(self, function: Callable[[], object], name: str) -> None:
        """Start a thread that is waited for, for a limited time, when the interpreter exits."""
        self._threads.add(start_thread(function, name))

    def begin(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Start a coroutine as a task of the loop, and do not wait; nothing if the loop is closed.

        Finalizers use it.
        """
        if not self.is_forked:
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._start, partial(function, *args))

    def _start(self, make: Callable[[], Coroutine[Any, Any, object]]) -> None:
        task = self.loop.create_task(make())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        """Close what is open, end the loop, and wait for its thread; when the interpreter exits."""
        try:
            self.wait(self._close)
        finally:
            self.loop.call_soon_threadsafe(self._stop)
            for thread in (self._thread, *self._threads):
                thread.join(_LAST)

    async def _close(self) -> None:
        closing = [self.loop.create_task(_closed(close, DRAIN)) for close in self.opened.values()]
        if closing:
            await asyncio.wait(closing, timeout=_LAST)

    def _stop(self) -> None:
        self._is_ending = True
        self.loop.stop()

    def _run(self) -> None:
        while not self._is_ending:
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - such as SystemExit in a method
                log_error(logger, "a callback of the application raised", error)
        self.loop.run_until_complete(self._cancel_all())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ClosedByBlock(ABC):
    """A context manager that closes itself, unless its process is a forked child."""

    __slots__ = ()

    _background: Background

    @abstractmethod
    def close(self) -> None:
        """Close."""

    def _leave(self, error: BaseException | None) -> None:
        """Close at the end of the block, which an error has ended, or None."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A forked child leaves open what its parent has opened.
        if not self._background.is_forked:
            self._leave(error)


class _Process:
    """The state of this process.

    Attributes:
        background: the loop and its thread, or None before the first use.
        inherited: those of the processes that this one was forked from. They are kept, since a
            loop closes what it shares with the parent when it is collected.
        has_warned: whether the warning about blocked loops was given.
    """

    def __init__(self) -> None:
        self.background: Background | None = None
        self.inherited: list[Background] = []
        self.has_warned = False
        self.lock = threading.Lock()


_process = _Process()


def background(what: str, instead: str) -> Background:
    """Return the loop of this process, which is started at the first use, for a wait.

    Args:
        what, instead: see `Background.check`.

    Raises:
        RuntimeError: this is the thread of the loop.
    """
    found = started()
    found.check(what, instead)
    return found


def loop() -> AbstractEventLoop:
    """Return the event loop in which the connections of ``broker.blocking`` live.

    It runs in a thread of its own, which is started at the first use and ends with the process. Use
    ``asyncio.run_coroutine_threadsafe(…, loop())`` and ``loop().call_soon_threadsafe(…)``.
    """
    return started().loop


def started() -> Background:
    """Return the loop of this process, which is started at the first use."""
    found = _process.background
    if found is None:
        with _process.lock:
            found = _process.background
            if found is None:
                found = _process.background = Background()
    return found


def _warn(what: str, instead: str) -> None:
    """Warn of a wait that blocks a running loop, unless code of a module waits, as in a notebook.

    A cell of a notebook runs inside the notebook's loop, which waits for each cell anyway.
    """
    frame = inspect.currentframe()
    level = 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("broker.blocking"):
        frame, level = frame.f_back, level + 1
    caller = frame
    while caller is not None and caller.f_code.co_name != "<module>":
        if caller.f_code.co_flags & inspect.CO_COROUTINE:
            _process.has_warned = True
            text = f"blocking.{what} in a coroutine blocks the loop that runs it; use {instead}"
            warnings.warn(text, RuntimeWarning, stacklevel=level + 1)
            return
        caller = caller.f_back


async def _closed(close: Close, seconds: float) -> None:
    await close(seconds)


def _at_exit() -> None:
    found = _process.background
    if found is not None:
        found.end()


def _in_child() -> None:
    found, _process.background = _process.background, None
    _process.lock = threading.Lock()
    if found is not None:
        found.is_forked = True
        _process.inherited.append(found)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
