"""Produces a stream: takes the items of an async iterable, and passes them on.

Theory of operation. A generator that waits at ``yield`` is closed when the stream is stopped; one
that runs is cancelled. So its ``finally`` blocks run once, in either case. The producer knows which
it is: it waits in the generator, or it waits for its sink.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from contextvars import Context
from typing import Any, Protocol

from broker.core.calls.dispatch import note_raised
from broker.defer import CancelledError, Deferred, drive

__all__ = ["Producer", "Sink", "Waiter"]

_CANCELLED = (asyncio.CancelledError, CancelledError)


class Sink(Protocol):
    """Where the items of a stream go."""

    def ready(self) -> Awaitable[None] | None:
        """Return what to wait for before the first item, or None."""
        ...

    def put(self, item: object) -> Awaitable[None] | None:
        """Take an item; return what to wait for before the next one, or None.

        Raises:
            EncodeError: it cannot be sent.
        """
        ...

    def wake(self) -> None:
        """Let the producer go on, since the stream was stopped."""
        ...

    def end(self, error: BaseException | None) -> None:
        """Note that no more items come; the error has ended the stream, or None."""
        ...

    def not_closed(self, error: Exception) -> None:
        """Note that closing the generator has raised an error."""
        ...


class Producer:
    """The producer of one stream.

    Args:
        items: what the stream is made of.
        sink: takes the items, and the end.

    Attributes:
        is_stopped: whether `stop` was called.
        is_over: whether the generator has ended.
    """

    __slots__ = ("_cancel", "_is_inside", "_items", "_sink", "is_over", "is_stopped")

    def __init__(self, items: AsyncIterable[object], sink: Sink):
        self._items = items
        self._sink = sink
        self._cancel: Callable[[], object] | None = None
        # Whether the generator runs.
        self._is_inside = False
        self.is_stopped = False
        self.is_over = False

    def start(self, create_task: Callable[..., Any] | None, context: Context | None) -> None:
        """Begin to produce.

        Args:
            create_task: starts a task of the loop; None without a loop.
            context: the context variables of the generator; None for the current ones.
        """
        if create_task is None:
            run = drive(self._run(), context)
            self._cancel = run.cancel
            run.addBoth(self._finish)
        else:
            task = create_task(self._run(), context=context)
            self._cancel = task.cancel
            task.add_done_callback(self._finish)

    def stop(self) -> None:
        """Take no more items; close or cancel the generator. The sink is not told the end."""
        if self.is_stopped or self.is_over:
            return
        self.is_stopped = True
        if not self._is_inside:
            self._sink.wake()
        elif self._cancel is not None:
            self._cancel()

    async def _run(self) -> None:
        error: BaseException | None = None
        iterator: Any = self._items
        try:
            iterator = aiter(iterator)
            await self._send_all(iterator)
        except _CANCELLED as cancelled:
            error = cancelled
        except Exception as raised:  # noqa: BLE001 - the sink tells it to the reader
            error = raised
        try:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()
        except _CANCELLED:
            pass
        except Exception as raised:  # noqa: BLE001 - logged; the stream has ended already
            self._sink.not_closed(raised)
        self._end(error)

    def _finish(self, run: object) -> None:
        """End the stream if the run was cancelled before its first step, or left by GeneratorExit.

        A run that is collected unfinished is left too, but then this is not called.
        """
        if not self.is_over:
            self._end(RuntimeError("the generator was cancelled, or raised GeneratorExit"))
            if isinstance(run, asyncio.Task) and not run.cancelled():
                run.exception()

    def _end(self, error: BaseException | None) -> None:
        self.is_over = True
        self._cancel = None
        self._sink.end(None if self.is_stopped else error)

    async def _send_all(self, iterator: Any) -> None:
        step, put = iterator.__anext__, self._sink.put
        # Any: the type checker does not know that the value changes during the waits.
        this: Any = self
        waits = self._sink.ready()
        if waits is not None:
            await waits
        while not this.is_stopped:
            self._is_inside = True
            try:
                item = await step()
            except StopAsyncIteration:
                return
            except Exception as error:
                note_raised(error)
                raise
            finally:
                self._is_inside = False
            if this.is_stopped:
                return
            waits = put(item)
            if waits is not None:
                await waits


class Waiter:
    """Something that one coroutine waits for, and that others may wake it from."""

    __slots__ = ("_deferred",)

    def __init__(self) -> None:
        self._deferred: Deferred[None] | None = None

    @property
    def is_waited_for(self) -> bool:
        """Whether a coroutine waits."""
        return self._deferred is not None

    def wait(self) -> Deferred[None]:
        """Return a Deferred to wait for; it fires with the next `wake`."""
        deferred: Deferred[None] = Deferred(self._forget)
        self._deferred = deferred
        return deferred

    def wake(self) -> None:
        """Let the coroutine go on, if one waits."""
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            deferred.callback(None)

    def _forget(self, deferred: Deferred[None]) -> None:
        self._deferred = None
