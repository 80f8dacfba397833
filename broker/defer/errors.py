"""The errors of Deferreds, published as names of `broker.defer`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.failure import WIRE_NAME
from broker.twisted_bases import subclass_of_twisted

if TYPE_CHECKING:
    from broker.failure import Failure

__all__ = [
    "AlreadyCalledError",
    "CancelledError",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
]


# The first bases of the errors; `subclass_of_twisted` says why they are needed. They are not shown
# to a peer.


class _Exception(Exception):
    pass


class _TimeoutError(builtins.TimeoutError):
    pass


class _TypeError(TypeError):
    pass


for _base in (_Exception, _TimeoutError, _TypeError):
    setattr(_base, WIRE_NAME, f"builtins.{_base.__name__[1:]}")


@subclass_of_twisted("twisted.internet.defer.AlreadyCalledError")
class AlreadyCalledError(_Exception):
    """The Deferred already has its result (published)."""

    __module__ = "broker.defer"


@subclass_of_twisted("twisted.internet.defer.CancelledError")
class CancelledError(_Exception):
    """The Deferred was cancelled (published)."""

    __module__ = "broker.defer"


@subclass_of_twisted("twisted.internet.defer.TimeoutError")
class TimeoutError(_TimeoutError):
    """The Deferred had no result in time (published); its first argument is the time in seconds."""

    __module__ = "broker.defer"

    def __str__(self) -> str:
        return f"no result within {self.args[0]} seconds" if self.args else "no result in time"


@subclass_of_twisted("twisted.internet.defer.NotACoroutineError")
class NotACoroutineError(_TypeError):
    """A coroutine was expected (published)."""

    __module__ = "broker.defer"


@subclass_of_twisted("twisted.internet.defer.FirstError")
class FirstError(_Exception):
    """The first failure in a list of Deferreds (published).

    Attributes:
        subFailure: the failure.
        index: the position in the list of the Deferred that failed.
    """

    __module__ = "broker.defer"

    def __init__(self, failure: Failure, index: int):
        Exception.__init__(self, failure, index)
        self.subFailure = failure
        self.index = index

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"


@subclass_of_twisted("twisted.internet.defer.FailureGroup")
class FailureGroup(_Exception):
    """All Deferreds of a race failed (published).

    Attributes:
        failures: one Failure for each, in the order in which the Deferreds were given.
    """

    __module__ = "broker.defer"

    def __init__(self, failures: Sequence[Failure]):
        Exception.__init__(self, failures)
        self.failures = failures

    def __str__(self) -> str:
        return "; ".join(repr(failure.value) for failure in self.failures)


@subclass_of_twisted("twisted.internet.defer.QueueOverflow")
class QueueOverflow(_Exception):
    """The queue is full (published)."""

    __module__ = "broker.defer"


@subclass_of_twisted("twisted.internet.defer.QueueUnderflow")
class QueueUnderflow(_Exception):
    """The maximum number of Deferreds already waits for the queue (published)."""

    __module__ = "broker.defer"
