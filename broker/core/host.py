"""The host of a session: the interface of the layer above."""

from __future__ import annotations

from typing import Any, Protocol

from broker.core.events import Event
from broker.core.objects.translator import Invoker
from broker.core.wire.messages import RequestId

__all__ = ["Host"]


class Host(Invoker, Protocol):
    """What a session calls in the layer above it."""

    def on_event(self, event: Event, /) -> None:
        """Handle an event. May call methods of the session."""
        ...

    def answered(self, request_id: RequestId, value: Any, /) -> None:
        """Take the result of an outgoing call."""
        ...

    def refused(self, request_id: RequestId, failure: Any, /) -> None:
        """Take the error of an outgoing call: an exception, a Failure, or what the peer sent."""
        ...

    @property
    def overridden(self) -> frozenset[str]:
        """Names of Twisted's methods that a subclass overrides; the session calls those instead.

        Among ``serialize``, ``unserialize``, ``localObjectForID``, ``sendCall``, ``sendEncoded``,
        ``expressionReceived`` and the ``proto_`` methods.
        """
        ...

    def on_released(self) -> None:
        """A reference was collected: flush soon, to tell the peer. Called from any thread."""
        ...

    def shown_error(self, error: BaseException | Any, /) -> tuple[Any, str | None]:
        """Return the error to send to the peer, and the id that replaces its text, or None."""
        ...
