"""Calls that a thread makes in the event loop of another thread, for `broker.blocking`.

A connection belongs to one loop. A call in another thread is an error there, unless the loop takes
such calls: then the call is posted to the loop, and its Promise fires in the loop.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from broker.defer import Deferred
from broker.flavors.promise import Promise

__all__ = ["Posted", "is_posted", "post", "take_posts"]

_TAKING: WeakSet[AbstractEventLoop] = WeakSet()


def take_posts(loop: AbstractEventLoop) -> None:
    """Have calls of other threads posted to a loop, in place of an error."""
    _TAKING.add(loop)


def is_posted(loop: AbstractEventLoop | None) -> bool:
    """Return whether a call that is made here, for a connection of a loop, is posted to it."""
    return loop in _TAKING and _get_running_loop() is not loop


class Posted(Promise[Any]):
    """The Promise of a call that was posted. Its callbacks run in the loop.

    Attributes:
        loop: the loop of the connection.
    """

    __slots__ = ("loop",)

    loop: AbstractEventLoop


def post(loop: AbstractEventLoop, name: str, call: Callable[[], Deferred[Any] | None]) -> Posted:
    """Make a call in a loop, in the context of this thread.

    Args:
        loop: the loop.
        name: the method.
        call: makes the call; with a Deferred the Promise fires as that does, else with None.
    """
    begun: list[Deferred[Any]] = []

    def cancel(promise: Deferred[Any]) -> None:
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
        if deferred is None:
            posted.callback(None)
            return
        begun.append(deferred)
        deferred.addCallbacks(posted.callback, posted.errback)

    loop.call_soon_threadsafe(begin)
    return posted
