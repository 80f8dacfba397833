"""Deferreds and Failures of Twisted's: recognised, Twisted never imported for it.

Where ``twisted.internet.defer`` has not been imported by someone else, no object can be of it.
Where it has, our Failures are Twisted's as well: see `broker.twisted_bases`.
"""

from __future__ import annotations

import sys
from typing import Any

from broker.defer.errors import CancelledError
from broker.failure import Failure

__all__ = ["PLAIN", "TwistedObserver", "failure_of", "is_twisted_deferred", "is_twisted_failure"]

# Types whose instances need no second look.
PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple})


def is_twisted_deferred(thing: Any) -> bool:
    """Tell whether `thing` is a Deferred of Twisted's own."""
    defer = sys.modules.get("twisted.internet.defer")
    # Not isinstance, for which ours are Twisted's, too.
    return defer is not None and defer.Deferred in type(thing).__mro__


def is_twisted_failure(thing: Any) -> bool:
    """Tell whether `thing` is a Failure of Twisted's, as ours are."""
    failure = sys.modules.get("twisted.python.failure")
    return failure is not None and isinstance(thing, failure.Failure)


def failure_of(thing: Any) -> Failure:
    """Return an exception, or a Failure of ours or of Twisted's, as a Failure of ours.

    The CancelledError of Twisted's becomes ours, which is both: ``except`` finds it by either.
    """
    failure = Failure.of(thing)
    if type(failure.value) in CancelledError.__bases__:
        failure = Failure(CancelledError(*failure.value.args), exc_tb=failure.tb)
    return failure


class TwistedObserver:
    """In the chain of a Deferred of ours: fires a Deferred of Twisted's with the result.

    The constructor raises ImportError if Twisted is not installed.
    """

    __slots__ = ("deferred",)

    def __init__(self, ours: Any):
        # Only a program that has Twisted asks for this, and it alone needs Twisted.
        from twisted.internet import defer

        self.deferred: Any = defer.Deferred(lambda _: ours.cancel())

    def deliver(self, result: Any) -> None:
        """Fire Twisted's Deferred, unless its owner has done so. A Failure of ours is Twisted's."""
        if not self.deferred.called:
            self.deferred.callback(result)
