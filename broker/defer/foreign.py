"""Recognises Deferreds and Failures of Twisted, without importing Twisted.

If the program has not imported ``twisted.internet.defer``, no object can be of it. If it has, a
Failure of this library is also an instance of Twisted's; see `broker.twisted_bases`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol, TypeGuard

from broker.defer.errors import CancelledError
from broker.failure import Failure

__all__ = [
    "PLAIN",
    "TWISTED",
    "Cancellable",
    "TwistedDeferred",
    "TwistedObserver",
    "failure_of",
    "is_twisted_deferred",
    "is_twisted_failure",
]

TWISTED: Final = "twisted.python.failure"
"""A module that Twisted's module of Deferreds imports: without it, no object can be Twisted's.

Code that runs often asks first, with ``TWISTED in sys.modules``: most programs never load it.
"""

# Types whose instances need no further check.
PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple})


class Cancellable(Protocol):
    """The method of a Deferred that cancels it."""

    def cancel(self) -> None:
        """Ask for an early end."""


class TwistedDeferred(Cancellable, Protocol):
    """The methods of Twisted's Deferred that this library calls."""

    called: bool

    def addBoth(self, callback: Callable[[object], object], /) -> object:
        """Call `callback` with the result or the Failure."""

    def callback(self, result: object, /) -> None:
        """Fire with a result."""


def is_twisted_deferred(thing: object) -> TypeGuard[TwistedDeferred]:
    """Return whether `thing` is one of Twisted's own Deferreds."""
    defer = sys.modules.get("twisted.internet.defer")
    # Not isinstance, which also holds for Deferreds of this library.
    return defer is not None and defer.Deferred in type(thing).__mro__


def is_twisted_failure(thing: object) -> bool:
    """Return whether `thing` is an instance of Twisted's Failure, as our Failures are."""
    failure = sys.modules.get("twisted.python.failure")
    return failure is not None and isinstance(thing, failure.Failure)


def failure_of(thing: object) -> Failure:
    """Return an exception, or a Failure of this library or of Twisted, as a Failure of this
    library.

    Twisted's CancelledError becomes this library's, which derives from both, so that ``except``
    finds it by either name.
    """
    failure = Failure.of(thing)
    if type(failure.value) in CancelledError.__bases__:
        failure = Failure(CancelledError(*failure.value.args), exc_tb=failure.tb)
    return failure


class TwistedObserver:
    """An observer in a chain: fires a Twisted Deferred with the result.

    The constructor raises ImportError if Twisted is not installed.
    """

    __slots__ = ("deferred",)

    def __init__(self, ours: Cancellable):
        # Imported here, since only programs that use Twisted call this.
        from twisted.internet import defer

        self.deferred: TwistedDeferred = defer.Deferred(lambda _: ours.cancel())

    def deliver(self, result: object, loop: object = None) -> None:
        """Fire Twisted's Deferred, unless it has fired. Our Failure is also Twisted's."""
        if not self.deferred.called:
            self.deferred.callback(result)
