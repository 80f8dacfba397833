"""A loop that a program runs itself, in steps between its other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack
from typing import Any

__all__ = ["Steps"]


class Steps:
    """Runs a coroutine in a loop, but only while it is told to.

    Args:
        main: a function that makes the coroutine.
        given: a loop of the program, which is stopped when `main` has ended but not closed; or
            None.
        loop_factory: makes the loop if none is given; None means asyncio's.
        around: a context manager, entered at the beginning and left at the end.
    """

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, None]],
        given: asyncio.AbstractEventLoop | None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
        around: AbstractContextManager[object],
    ):
        self._stack = ExitStack()
        self._is_given = given is not None
        self._stack.enter_context(around)
        if given is None:
            # The runner closes the loop, and cancels its remaining tasks.
            runner = asyncio.Runner(loop_factory=loop_factory)
            given = self._stack.enter_context(runner).get_loop()
        self._loop = given
        self._main = given.create_task(main())
        self._main.add_done_callback(self._ended)

    def begin(self) -> None:
        """Run the first two turns of the loop."""
        self.turn(0)
        self.turn(0)

    @property
    def is_over(self) -> bool:
        """Whether the coroutine has ended."""
        return self._main.done()

    def turn(self, seconds: float) -> None:
        """Run for some seconds; at least one turn of the loop."""
        stop = self._loop.stop
        ends = self._loop.call_later(seconds, stop) if seconds > 0 else self._loop.call_soon(stop)
        try:
            self._loop.run_forever()
        finally:
            ends.cancel()
        self._close_if_over()

    def finish(self) -> None:
        """Run until the coroutine has ended; raise its exception."""
        self._loop.run_until_complete(self._main)
        self._close_if_over()

    def _ended(self, main: asyncio.Task[None]) -> None:
        # The code that runs the loop continues.
        self._loop.stop()
        if self._is_given:
            self._stack.close()

    def _close_if_over(self) -> None:
        if self.is_over:
            self._stack.close()
