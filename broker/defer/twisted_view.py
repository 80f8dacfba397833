"""What Twisted's code reads and writes in a Deferred of ours, beside the published names.

Twisted's Deferreds know each other from within: one that waits for another puts itself among the
other's callbacks, or takes its result away. Our chain is built in another way; here it shows what
is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["TwistedView"]


class _Chained(Protocol):
    """What is needed of a Deferred of ours here."""

    _unhandled: Any

    def addBoth(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Have `callback` called with the result or the Failure."""


class _Callbacks:
    """The list of callbacks of a Deferred of ours, as far as Twisted's Deferreds use it."""

    __slots__ = ("_deferred",)

    def __init__(self, deferred: _Chained):
        self._deferred = deferred

    def append(self, continuation: Any) -> None:
        """Give the result for good to the Deferred of Twisted's that waits for it.

        `continuation` is two equal triples, of which the second field is a tuple of that Deferred.
        """
        ((_, (waiting,), _), _) = continuation
        self._deferred.addBoth(_hand_over, waiting)


def _hand_over(result: Any, waiting: Any) -> None:
    """Let a Deferred of Twisted's, which has paused itself, go on with `result`."""
    waiting.result = result
    waiting.unpause()


class TwistedView:
    """The part of a Deferred that only Deferreds of Twisted's see."""

    __slots__ = ()

    @property
    def _callbacks(self: _Chained) -> _Callbacks:
        return _Callbacks(self)

    # Its name before Twisted 25.5.
    callbacks = _callbacks

    @property
    def _debugInfo(self: _Chained) -> Any:
        # Twisted forgets the failure that is kept there when it takes a result away.
        return self._unhandled

    @property
    def _chainedTo(self) -> None:
        """Whom the Deferred waits for, as Twisted notes for its ``repr()``; ours shows `result`."""

    @_chainedTo.setter
    def _chainedTo(self, chained_to: Any) -> None:
        pass
