"""Calls that a thread makes in the event loop of another thread, for `broker.blocking`.

A connection belongs to one loop. A call in another thread is an error there, unless the loop takes
such calls: then the call is posted to the loop, and its Promise fires in the loop.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any
from weakref import WeakSet

from broker.defer import Deferred
from broker.flavors.promise import Promise

__all__ = ["OTHER_THREAD", "Posted", "do_in_loop", "is_posted", "post", "take_posts"]

OTHER_THREAD = (
    "this connection belongs to the loop of another thread; use broker.blocking, or"
    " loop.call_soon_threadsafe"
)
"""The text of the error for a call, or an await, in a thread that is not the loop's."""

_TAKING: WeakSet[AbstractEventLoop] = WeakSet()


def take_posts(loop: AbstractEventLoop) -> None:
    """Have calls of other threads posted to a loop, in place of an error."""
    _TAKING.add(loop)


def is_posted(loop: AbstractEventLoop | None) -> bool:
    """Return whether a call that is made here, for a connection of a loop, is posted to it."""
    return _get_running_loop() is not loop and loop in _TAKING


class Posted(Promise[Any]):
    """The Promise of a call that was posted. Its callbacks run in the loop.

    Attributes:
        loop: the loop of the connection.
    """

    __slots__ = ("loop",)

    loop: AbstractEventLoop

    def __repr__(self) -> str:
        return super().__repr__().replace(Posted.__name__, Promise.__name__, 1)

    def __await__(self) -> Generator[object, None, Any]:
        """Wait for the result, in the loop.

        Raises:
            RuntimeError: this is another loop.
        """
        self._check()
        return super().__await__()

    __iter__ = __await__

    def send(self, value: object, /) -> object:
        """Take a step as the coroutine of a Task of the loop; see ``Deferred.send``."""
        self._check()
        return super().send(value)

    def _check(self) -> None:
        if _get_running_loop() is not self.loop:
            raise RuntimeError(OTHER_THREAD)


def do_in_loop(loop: AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function in a loop, in the context of this thread, and wait until it has returned.

    So the arguments of a one-way call are encoded before this thread can change them.
    """
    done: Future[None] = Future()

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised in the thread
            done.set_exception(error)
        else:
            done.set_result(None)

    loop.call_soon_threadsafe(call)
    done.result()


def post(loop: AbstractEventLoop, name: str, call: Callable[[], Deferred[object]]) -> Posted:
    """Make a call in a loop, in the context of this thread.

    Args:
        loop: the loop.
        name: the method.
        call: makes the call; the Promise fires as its Deferred does.
    """
    begun: list[Deferred[object]] = []

    def cancel(promise: Deferred[object]) -> None:
        for deferred in begun:
            deferred.cancel()

    posted = Posted(cancel)
    posted.label, posted.loop = name, loop

    def begin() -> None:
        if posted.called:
            return
        try:
            deferred = call()
        except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
            posted.errback()
            return
        begun.append(deferred)
        deferred.addCallbacks(posted.callback, posted.errback)

    loop.call_soon_threadsafe(begin)
    return posted
