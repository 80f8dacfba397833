"""Continues with the result of application code: at once if it is there, else when it comes.

Most checkers and realms return their result, or a Deferred that has it. A login that waits for
nothing then needs no Deferred of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from broker.defer import Deferred, to_deferred
from broker.defer.foreign import PLAIN, TWISTED, is_twisted_deferred, is_twisted_failure
from broker.failure import Failure

__all__ = ["TO_COME", "result_of", "then"]

P = ParamSpec("P")
T = TypeVar("T")

TO_COME: Final[Any] = object()
"""Stands for a result that is not there, or is a failure."""


def result_of(thing: Any) -> Any:
    """Return the result of a plain value or of a Deferred; TO_COME if it has none yet.

    A Failure, a Deferred that has failed, and any other awaitable have none.
    """
    kind = type(thing)
    if kind in PLAIN:
        return thing
    if issubclass(kind, Deferred):
        if not thing.has_settled:
            return TO_COME
        thing = thing.result
        kind = type(thing)
        if kind in PLAIN:
            return thing
    if issubclass(kind, Failure) or getattr(kind, "__await__", None) is not None:
        return TO_COME
    if TWISTED in sys.modules and (is_twisted_deferred(thing) or is_twisted_failure(thing)):
        return TO_COME
    return thing


def then(
    thing: object, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
) -> T | Deferred[Any]:
    """Call ``function(result, *args)`` with a result, or with the result of an awaitable.

    Args:
        thing: a result, a Deferred or another awaitable, or a Failure.
        function: is not called if the awaitable fails.

    Returns:
        What the function returned, or a Deferred of it if the result has yet to come.
    """
    result = thing if type(thing) in PLAIN else result_of(thing)
    if result is TO_COME:
        return to_deferred(thing).addCallback(function, *args, **kwargs)
    return function(result, *args, **kwargs)
