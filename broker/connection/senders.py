"""What may stand between an outgoing call and its message: interceptors, and a sender of traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from broker.core.wire.messages import ObjectId, RequestId, Target
from broker.defer import Deferred

__all__ = ["Interception", "Sender"]


class Interception(Protocol):
    """Runs the interceptors of the outgoing calls of one connection."""

    def call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        kind: type[Deferred[Any]],
        meta: Mapping[str, str] | None,
        wants_answer: bool,
        /,
    ) -> Deferred[Any] | None:
        """Make a call behind the interceptors; see ``PendingCalls.make_call``."""
        ...

    async def sent(self, seconds: float, /) -> None:
        """Wait until the calls without an answer that were made are sent, or the time is over."""
        ...


class Sender(Protocol):
    """Sends the calls of one connection."""

    @property
    def has_metadata(self) -> bool:
        """Whether it sends metadata of its own, so that each receiver of an event gets another."""

    def call(
        self,
        kind: type[Deferred[Any]],
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        perspective: object,
        wants_answer: bool,
        deadline: int | None = None,
        to_cache: bool = False,
        credit: tuple[int, int] | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> RequestId:
        """Send a call; ``kind`` is the class of its Deferred. See ``OutgoingCalls.call``."""
        ...
