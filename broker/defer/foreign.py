"""Deferreds and Failures of Twisted's: recognised and converted, Twisted never imported for it.

Where ``twisted.internet.defer`` has not been imported by someone else, no object can be of it.
"""

from __future__ import annotations

import sys
from typing import Any

from broker.defer.errors import CancelledError
from broker.failure import Failure, published_to_ours

__all__ = ["PLAIN", "TwistedObserver", "is_twisted_deferred", "is_twisted_failure"]

# Types whose instances need no second look.
PLAIN = frozenset({type(None), bool, int, float, str, bytes, list, dict, tuple})


def is_twisted_deferred(thing: Any) -> bool:
    """Tell whether `thing` is a Deferred of Twisted's."""
    defer = sys.modules.get("twisted.internet.defer")
    # Not isinstance, which asks an abstract base class and costs 2.6 times as much.
    return defer is not None and defer.Deferred in type(thing).__mro__


def is_twisted_failure(thing: Any) -> bool:
    """Tell whether `thing` is a Failure of Twisted's."""
    failure = sys.modules.get("twisted.python.failure")
    return failure is not None and isinstance(thing, failure.Failure)


class TwistedObserver:
    """In the chain of a Deferred of ours: fires a Deferred of Twisted's with the result.

    The constructor raises ImportError if Twisted is not installed.
    """

    __slots__ = ("_failure_class", "deferred")

    def __init__(self, ours: Any):
        # Only a program that has Twisted asks for this, and it alone needs Twisted.
        from twisted.internet import defer
        from twisted.python import failure

        self._failure_class: Any = failure.Failure
        self.deferred: Any = defer.Deferred(lambda _: ours.cancel())

    def deliver(self, result: Any) -> None:
        """Fire Twisted's Deferred, unless its owner has done so."""
        if self.deferred.called:
            return
        if not isinstance(result, Failure):
            self.deferred.callback(result)
            return
        if type(result.value) is CancelledError:
            cancelled = sys.modules["twisted.internet.defer"].CancelledError
            failure = self._failure_class(cancelled())
        else:
            failure = self._failure_class(result.as_exception(), result.type, result.tb)
        # Twisted's Failure looks for a class by its own name; ours have another than is published.
        ours = (published_to_ours(name) for name in result.parents)
        failure.parents = list(dict.fromkeys([*result.parents, *ours]))
        self.deferred.errback(failure)
