"""Calls of ours: the Deferred of each, until its answer comes or never will."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from broker import journal
from broker.core.messages import ObjectId, RequestId
from broker.core.session import Session
from broker.defer import Deferred, fail
from broker.errors import Error, PBConnectionLost
from broker.failure import Failure

__all__ = ["Calls"]


class Calls:
    """The calls of one connection that have no answer yet.

    Args:
        session: makes them.
        flush: has what the session wrote sent soon.
    """

    def __init__(self, session: Session, flush: Callable[[], object]):
        self._session = session
        self._flush = flush
        self._deferreds: dict[RequestId, Deferred[Any]] = {}

    def ask(
        self,
        command: bytes,
        perspective: Any,
        object_id: ObjectId,
        name: str,
        args: tuple[Any, ...],
        kw: dict[str, Any],
        wants_answer: bool,
        deadline: int | None = None,
    ) -> Deferred[Any] | None:
        """Make a call; return its Deferred, or None where no answer is wanted.

        What cannot be sent fails the Deferred, or is logged where there is none.
        """
        try:
            request_id = self._session.call(
                command,
                object_id,
                name,
                args,
                kw,
                perspective=perspective,
                wants_answer=wants_answer,
                deadline=deadline,
            )
        except Exception:  # noqa: BLE001 - what cannot be sent fails the call, not the caller
            if wants_answer:
                return fail(Failure())
            journal.unsent(name)
            return None
        if not wants_answer:
            return None
        deferred: Deferred[Any] = Deferred(partial(self._abandon, request_id))
        self._deferreds[request_id] = deferred
        return deferred

    def answered(self, request_id: RequestId, value: Any) -> None:
        """Fire the Deferred of a call that returned."""
        deferred = self._deferreds.pop(request_id, None)
        if deferred is not None:
            deferred.callback(value)

    def refused(self, request_id: RequestId, error: Any) -> None:
        """Fail the Deferred of a call, with an exception, a Failure, or what the peer sent."""
        deferred = self._deferreds.pop(request_id, None)
        if deferred is not None:
            is_failure = isinstance(error, BaseException)
            deferred.errback(error if is_failure else Failure(Error(error)))

    def lost(self, may_have_run: dict[RequestId, bool], reason: Any) -> None:
        """Fail the calls that will have no answer; ``may_have_run`` tells which may have run."""
        for request_id, may in may_have_run.items():
            deferred = self._deferreds.pop(request_id, None)
            if deferred is not None:
                deferred.errback(PBConnectionLost(reason, may_have_run=may))

    def _abandon(self, request_id: RequestId, deferred: Deferred[Any]) -> None:
        self._deferreds.pop(request_id, None)
        self._session.abandon(request_id)
        self._flush()
