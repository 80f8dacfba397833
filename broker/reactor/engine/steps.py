"""A loop that a program turns itself: a bit at a time, in between what else it does."""

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
        given: the loop, which stays the program's, and is stopped when `main` has ended; or None.
        loop_factory: makes the loop where none is given; None is asyncio's.
        around: entered at the beginning, and left at the end.
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
            # It closes the loop, and what is left in it.
            runner = asyncio.Runner(loop_factory=loop_factory)
            given = self._stack.enter_context(runner).get_loop()
        self._loop = given
        self._main = given.create_task(main())
        self._main.add_done_callback(self._ended)

    def begin(self) -> None:
        """Let all begin that begins at once."""
        self.turn(0)
        self.turn(0)

    @property
    def is_over(self) -> bool:
        """Whether the coroutine has ended."""
        return self._main.done()

    def turn(self, seconds: float) -> None:
        """Run for so long; for one turn of the loop at least."""
        stop = self._loop.stop
        ends = self._loop.call_later(seconds, stop) if seconds > 0 else self._loop.call_soon(stop)
        try:
            self._loop.run_forever()
        finally:
            ends.cancel()
        self._close_if_over()

    def finish(self) -> None:
        """Run until the coroutine has ended; raise what it has raised."""
        self._loop.run_until_complete(self._main)
        self._close_if_over()

    def _ended(self, main: asyncio.Task[None]) -> None:
        # Whoever runs the loop goes on.
        self._loop.stop()
        if self._is_given:
            self._stack.close()

    def _close_if_over(self) -> None:
        if self.is_over:
            self._stack.close()
