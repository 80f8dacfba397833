"""Continues with the result of application code: at once if it is there, else when it comes.

Most checkers and realms return their result. A login that waits for nothing needs no Deferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from broker.defer import Deferred, to_deferred
from broker.defer.foreign import PLAIN, is_twisted_deferred, is_twisted_failure
from broker.failure import Failure

__all__ = ["is_result", "then"]

P = ParamSpec("P")
T = TypeVar("T")


def is_result(thing: object) -> bool:
    """Return whether an object is a result, and neither an awaitable nor a Failure."""
    kind = type(thing)
    if kind in PLAIN:
        return True
    if issubclass(kind, Deferred | Failure) or getattr(kind, "__await__", None) is not None:
        return False
    return not (is_twisted_deferred(thing) or is_twisted_failure(thing))


def then(
    thing: object, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
) -> T | Deferred[Any]:
    """Call ``function(result, *args)`` with a result, or with the result of an awaitable.

    Args:
        thing: a result, a Deferred or another awaitable, or a Failure.
        function: is not called if the awaitable fails.

    Returns:
        What the function returned, or a Deferred of it if `thing` is not a result.
    """
    if is_result(thing):
        return function(thing, *args, **kwargs)
    return to_deferred(thing).addCallback(function, *args, **kwargs)
