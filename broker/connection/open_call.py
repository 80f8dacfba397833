"""The canceller of the Promise of a call that was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.wire.messages import RequestId
from broker.flavors.promise import Canceller, Promise, PromisedTarget

if TYPE_CHECKING:
    from broker.connection.pending_calls import PendingCalls

__all__ = ["OpenCall"]


class OpenCall(Canceller):
    """Cancels a call that was sent, and tells which call it is.

    Args:
        calls: the calls of the connection.
        request_id: the call.
    """

    __slots__ = ("calls", "request_id")

    def __init__(self, calls: PendingCalls, request_id: RequestId):
        self.calls = calls
        self.request_id: RequestId | None = request_id

    def __call__(self, deferred: object) -> None:
        """Cancel the call."""
        if self.request_id is not None:
            self.calls.abandon(self.request_id)

    def target_of(self, promise: Promise[Any]) -> PromisedTarget | None:
        """Return the result of the promise as a target; None if calls on it wait for the result."""
        if self.calls.interception is not None:
            # Each call passes the interceptors, which may suspend it.
            return None
        return self.calls.promises.follow(self, promise)
