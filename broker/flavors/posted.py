"""Calls that a thread makes in the event loop of another thread, for `broker.blocking`.

A connection belongs to one loop. A call in another thread is an error there, unless the loop takes
such calls: then the call is posted to the loop, and its Promise fires in the loop.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any, cast
from weakref import WeakSet

from broker.defer import Deferred
from broker.defer.awaiting import Bridge
from broker.flavors.promise import ONE_STEP, Kind, Pending, Promise, PromisedTarget, check_step

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

    Calls on it are posted too, and are then calls on the Promise in the loop.

    Attributes:
        loop: the loop of the connection.
        inner: the Deferred of the call in the loop; None before it was made.
    """

    __slots__ = ("inner", "loop")

    loop: AbstractEventLoop
    inner: Deferred[Any] | None

    def call_as(
        self, kind: Kind, name: str, args: tuple[object, ...], kw: dict[str, object]
    ) -> Pending | None:
        """Call a method of the result, in the loop; see ``Promise.call_as``."""
        if _get_running_loop() is self.loop:
            return super().call_as(kind, name, args, kw)
        again = partial(super().call_as, kind, name, args, kw)
        if kw.get("pbanswer", True):
            return post(self.loop, name, cast("Callable[[], Pending]", again))
        do_in_loop(self.loop, again)
        return None

    def __getitem__(self, step: int | str) -> Promise[Any]:
        """Return the promise of an element of the result; see ``Promise``."""
        if _get_running_loop() is self.loop:
            return super().__getitem__(step)
        check_step(step)
        return post(self.loop, self.method, partial(super().__getitem__, step), _PostedElement)

    def _target(self) -> PromisedTarget | None:
        inner = self.inner
        if isinstance(inner, Promise) and not self._has_callbacks():
            return inner._target()
        return super()._target()

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


class _PostedElement(Posted):
    __slots__ = ()

    def __getitem__(self, step: int | str) -> Promise[Any]:
        raise TypeError(ONE_STEP)


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


def post(
    loop: AbstractEventLoop,
    name: str,
    call: Callable[[], Deferred[Any]],
    kind: type[Posted] = Posted,
) -> Posted:
    """Make a call in a loop, in the context of this thread.

    Args:
        loop: the loop.
        name: the method.
        call: makes the call; the Promise fires as its Deferred does.
        kind: the class of the Promise.
    """

    def cancel(promise: Deferred[object]) -> None:
        if posted.inner is not None:
            posted.inner.cancel()

    posted = kind(cancel)
    posted.label, posted.loop, posted.inner = name, loop, None

    def begin() -> None:
        if posted.called:
            return
        try:
            deferred = call()
        except Exception:  # noqa: BLE001 - such as DeadReferenceError; the caller gets it
            posted.errback()
            return
        posted.inner = deferred
        if deferred.called:
            deferred.addCallbacks(posted.callback, posted.errback)
        else:
            # Not a callback: calls on the Promise in the loop then leave at once.
            Bridge(deferred).when_done(lambda done: posted.callback(done.outcome))

    loop.call_soon_threadsafe(begin)
    return posted
