"""Combine several Deferreds into one: the results of all, or the first result."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from broker.defer.deferred import Deferred
from broker.defer.errors import FailureGroup, FirstError
from broker.defer.registered import known_to_twisted
from broker.failure import Failure

__all__ = ["FAILURE", "SUCCESS", "DeferredList", "gatherResults", "race"]

SUCCESS = True
FAILURE = False

T = TypeVar("T")
_logger = logging.getLogger("broker.defer")


@known_to_twisted
class DeferredList(Deferred[Any]):
    """Fires with the results of several Deferreds (published).

    The result is a list of pairs ``(SUCCESS, result)`` or ``(FAILURE, failure)``, in the order of
    `deferredList`. The Deferreds keep their results.

    Args:
        deferredList: the Deferreds to wait for; for an empty list the result is ``[]`` at once.
        fireOnOneCallback: fire with the first result, as a pair ``(result, index)``.
        fireOnOneErrback: fail with the first failure, as a FirstError.
        consumeErrors: a Deferred that fails continues with None, and its failure is not logged.

    Attributes:
        resultList: the pairs so far; None for a Deferred without a result.
    """

    __slots__ = (
        "_deferreds",
        "consumeErrors",
        "finishedCount",
        "fireOnOneCallback",
        "fireOnOneErrback",
        "resultList",
    )

    def __init__(
        self,
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ):
        super().__init__()
        self._deferreds = list(deferredList)
        self.resultList: list[tuple[bool, Any] | None] = [None] * len(self._deferreds)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        self.finishedCount = 0
        if not self._deferreds and not fireOnOneCallback:
            self.callback(self.resultList)
        for index, deferred in enumerate(self._deferreds):
            deferred.addCallbacks(
                self._collect,
                self._collect,
                callbackArgs=(index, SUCCESS),
                errbackArgs=(index, FAILURE),
            )

    def cancel(self) -> None:
        """Cancel every Deferred of the list, unless this one has fired."""
        if self.called:
            return
        for deferred in self._deferreds:
            try:
                deferred.cancel()
            except Exception as exc:  # noqa: BLE001 - the other cancellers must be called too
                # Imported only when needed, since it loads jelly.
                from broker.traces import log_error

                log_error(_logger, "a canceller raised", exc)

    def _collect(self, result: Any, index: int, is_success: bool) -> object:
        self.resultList[index] = (is_success, result)
        self.finishedCount += 1
        if not self.called:
            if is_success and self.fireOnOneCallback:
                self.callback((result, index))
            elif not is_success and self.fireOnOneErrback:
                self.errback(FirstError(result, index))
            elif self.finishedCount == len(self.resultList):
                self.callback(self.resultList)
        if self.called:
            # Only `cancel` needs them, and the Deferreds that have not fired refer to this object.
            self._deferreds.clear()
        return None if self.consumeErrors and not is_success else result


def gatherResults(
    deferredList: Iterable[Deferred[T]], consumeErrors: bool = False
) -> Deferred[list[T]]:
    """Return a Deferred of the list of all results; it fails with the first failure (published).

    The failure is a FirstError. Cancelling the Deferred cancels all of `deferredList`.
    `consumeErrors` is as for DeferredList.
    """
    together = DeferredList(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors)
    return together.addCallback(lambda pairs: [result for _, result in pairs])


def race(ds: Sequence[Deferred[T]]) -> Deferred[tuple[int, T]]:
    """Return a Deferred of ``(index, result)`` of the first to succeed (published).

    The others are cancelled. If all fail, it fails with a FailureGroup. Cancelling it cancels all.
    """
    runners = list(ds)
    failures: dict[int, Failure] = {}

    def cancel_all(_: object) -> None:
        for runner in runners:
            runner.cancel()

    first: Deferred[tuple[int, T]] = Deferred(cancel_all)
    is_decided = False

    def succeed(result: T, index: int) -> None:
        nonlocal is_decided
        if is_decided:
            return
        is_decided = True
        for other, runner in enumerate(runners):
            if other != index:
                runner.cancel()
        if not first.called:
            first.callback((index, result))

    def fail(failure: Failure, index: int) -> None:
        failures[index] = failure
        if len(failures) == len(runners) and not first.called:
            first.errback(FailureGroup([failures[place] for place in range(len(runners))]))

    for index, runner in enumerate(runners):
        runner.addCallbacks(succeed, fail, callbackArgs=(index,), errbackArgs=(index,))
    return first
