"""Calls of an object of this end, made here as if the peer had called it.

A call on a promise may turn out to be for an object of the caller: then it is made here. It finds
the method by its prefix, with its conditions and its validator, as a call of the peer does. The
arguments are passed as they are.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

from broker.core.calls.dispatch import (
    Route,
    call_method,
    checked_arguments,
    overrides_hook,
    resolve,
)
from broker.defer import Deferred, maybeDeferred
from broker.errors import BrokenPromise
from broker.flavors.referenceable import Referenceable

__all__ = ["call_own", "is_own"]


def is_own(value: object) -> bool:
    """Return whether a value is an object that peers can call."""
    return isinstance(value, Referenceable)


def call_own(
    target: Any,
    kind: type[Deferred[Any]],
    name: str,
    args: tuple[object, ...],
    kw: dict[str, object],
) -> Deferred[Any]:
    """Call a method of an object of this end.

    Args:
        target: the object; see :func:`is_own`.
        kind: the class of the Deferred.
        name, args, kw: the method, by the name of the peer, and its arguments.

    Returns:
        A Deferred of the result, or of the exception that the call raises.
    """
    outer = kind()
    outer.label = name

    def settle(result: object) -> None:
        # A task ends some turns after it was cancelled, and the call at once.
        if not outer.called:
            outer.callback(result)

    def make() -> bool:
        if outer.called:
            return False
        inner = maybeDeferred(_call, target, name, args, kw)
        outer._canceller = lambda _: inner.cancel()
        inner.addBoth(settle)
        return not inner.called

    loop = asyncio._get_running_loop()
    if loop is None:
        make()
    else:
        starts = _STARTS.get(loop)
        if starts is None:
            starts = _STARTS[loop] = _Starts(loop)
        starts.add(make)
    return outer


class _Starts:
    """The calls of own objects in one loop, which start in the order in which they were made.

    A coroutine method starts in the next turn of the loop, as a task. So calls behind it wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = ref(loop)
        self._queue: deque[Callable[[], bool]] = deque()
        self._is_paused = False

    def add(self, make: Callable[[], bool]) -> None:
        """Make a call, now or later; ``make`` returns whether it may have started a task."""
        if self._is_paused:
            make = partial(contextvars.copy_context().run, make)
        self._queue.append(make)
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and not self._is_paused:
            make = self._queue.popleft()
            if make():
                loop = self._loop()
                if loop is not None:
                    self._is_paused = True
                    loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._is_paused = False
        self._go_on()


_STARTS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Starts] = WeakKeyDictionary()


def _call(target: Any, name: str, args: tuple[object, ...], kw: dict[str, object]) -> object:
    route = target.route()
    if not isinstance(route, Route) or overrides_hook(target, "remoteMessageReceived"):
        raise BrokenPromise(f"{type(target).__name__} has its own remoteMessageReceived")
    method = resolve(route, name, False)
    for check in method.conditions:
        check(name)
    args, kw = checked_arguments(args, kw)
    if method.validator is not None:
        args, kw = method.validator(args, kw)
    result = call_method(route, method, name, args, kw)
    if asyncio.iscoroutine(result) and asyncio._get_running_loop() is not None:
        # As the method of a call of the peer, it runs as a task.
        return Deferred.fromFuture(asyncio.ensure_future(result))
    return result
