"""The internals of a Deferred that Twisted's code reads and writes.

Twisted's Deferreds use each other's internals: one that waits for another adds itself to the
other's callbacks, or takes its result. The chain of this library is built differently; this module
provides the attributes that Twisted uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from broker.defer.unhandled import Unhandled

__all__ = ["TwistedView"]


class _Waiting(Protocol):
    """The parts of a Twisted Deferred that waits for one of this library."""

    result: object

    def unpause(self) -> None:
        """Continue."""


class _Chained(Protocol):
    """The methods of a Deferred that this module needs."""

    _unhandled: Unhandled | None

    def addBoth(self, callback: Callable[..., object], *args: object) -> object:
        """Call `callback` with the result or the Failure."""


class _Callbacks:
    """The list of callbacks of a Deferred, as far as Twisted's Deferreds use it."""

    __slots__ = ("_deferred",)

    def __init__(self, deferred: _Chained):
        self._deferred = deferred

    def append(
        self,
        continuation: tuple[
            tuple[object, tuple[_Waiting], object], tuple[object, tuple[_Waiting], object]
        ],
    ) -> None:
        """Move the result to the Twisted Deferred that waits for it.

        `continuation` is two equal triples, of which the second field is a tuple of that Deferred.
        """
        ((_, (waiting,), _), _) = continuation
        self._deferred.addBoth(_hand_over, waiting)


def _hand_over(result: object, waiting: _Waiting) -> None:
    """Let a Twisted Deferred, which has paused itself, continue with `result`."""
    waiting.result = result
    waiting.unpause()


class TwistedView:
    """The part of a Deferred that only Twisted's Deferreds use."""

    __slots__ = ()

    @property
    def _callbacks(self: _Chained) -> _Callbacks:
        return _Callbacks(self)

    # Its name before Twisted 25.5.
    callbacks = _callbacks

    @property
    def _debugInfo(self: _Chained) -> Unhandled | None:
        # Twisted clears the failure that is kept there when it takes a result.
        return self._unhandled

    @property
    def _chainedTo(self) -> None:
        """The Deferred that this one waits for, in Twisted's ``repr()``; None, since ours shows
        `result`.
        """

    @_chainedTo.setter
    def _chainedTo(self, chained_to: object) -> None:
        pass
