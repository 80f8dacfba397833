"""The errors of Deferreds, published as names of `broker.defer`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING

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


class AlreadyCalledError(Exception):
    """The Deferred already had its result (published)."""

    __module__ = "broker.defer"


class CancelledError(Exception):
    """The Deferred was cancelled (published)."""

    __module__ = "broker.defer"


class TimeoutError(builtins.TimeoutError):
    """The Deferred had no result in time (published); its first argument is the time in seconds."""

    __module__ = "broker.defer"

    def __str__(self) -> str:
        return f"no result within {self.args[0]} seconds" if self.args else "no result in time"


class NotACoroutineError(TypeError):
    """A coroutine was expected (published)."""

    __module__ = "broker.defer"


class FirstError(Exception):
    """The first failure in a list of Deferreds (published).

    Attributes:
        subFailure: the failure.
        index: the position in the list of the Deferred that failed.
    """

    __module__ = "broker.defer"

    def __init__(self, failure: Failure, index: int):
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"


class FailureGroup(Exception):
    """All Deferreds of a race failed (published).

    Attributes:
        failures: one Failure for each, in the order in which the Deferreds were given.
    """

    __module__ = "broker.defer"

    def __init__(self, failures: Sequence[Failure]):
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        return "; ".join(repr(failure.value) for failure in self.failures)


class QueueOverflow(Exception):
    """The queue holds as many objects as it may (published)."""

    __module__ = "broker.defer"


class QueueUnderflow(Exception):
    """As many Deferreds wait for the queue as may (published)."""

    __module__ = "broker.defer"
