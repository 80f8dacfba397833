"""The host of a session: what the room above does for it."""

from __future__ import annotations

from typing import Any, Protocol

from broker.core.events import Event
from broker.core.objects.translator import Invoker
from broker.core.wire.messages import RequestId

__all__ = ["Host"]


class Host(Invoker, Protocol):
    """The room above: what a session asks of it."""

    def on_event(self, event: Event, /) -> None:
        """Take an event; may call back into the session."""
        ...

    def answered(self, request_id: RequestId, value: Any, /) -> None:
        """Take the result of a call of ours."""
        ...

    def refused(self, request_id: RequestId, failure: Any, /) -> None:
        """Take what a call of ours failed with: an exception, a Failure, or what the peer sent."""
        ...

    @property
    def overridden(self) -> frozenset[str]:
        """The published methods of the room above that are not ours: they are called in our place.

        Of ``serialize``, ``unserialize``, ``localObjectForID``, ``sendCall``, ``sendEncoded``,
        ``expressionReceived`` and the ``proto_`` family.
        """
        ...

    def on_released(self) -> None:
        """Something was collected; from any thread. A flush, soon, would tell the peer."""
        ...

    def shown_error(self, error: BaseException | Any, /) -> tuple[Any, str | None]:
        """Return what the peer gets to see of an exception, and the id that stands for its text."""
        ...
