"""A transaction: the making of one outgoing message, which is sent whole or not at all.

While a message is made, objects are exported and caches published, also by hooks of the
application. If a value cannot be sent, all of this is undone, newest first, and no byte is sent.
Calls that hooks make in that time are sent behind the message, or fail with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from broker.core.principal import Principal
from broker.core.wire.messages import RequestId
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.defer import Deferred

__all__ = ["Passed", "Transaction"]


class Passed(Protocol):
    """A promise that is an argument of a call."""

    def pass_to(self, request_id: RequestId, deferred: Deferred[Any] | None, /) -> None:
        """Note the call, which was sent, and its Deferred; None if it is a one-way call."""
        ...


class Transaction(Struct, eq=False):
    """The transaction of one message.

    Attributes:
        perspective, method, args, kw: for the hooks, as the Broker's ``serializingPerspective``,
            ``jellyMethod``, ``jellyArgs`` and ``jellyKw``.
        outer: the transaction in which this one was opened, or None.
        principal: the owner of the objects that the message exports, or None.
        behind: calls that hooks made, encoded, to be sent after the message.
        requests: the ids of those calls.
        context: the context variables of code that the message starts at this end; None for those
            of the running code.
        sent: callbacks for when the message is in the outbox.
        promised: the promises among the arguments of a call; None if it is not a call.
        first_credit: what the peer gives to the streams of the message, if it is less than usual.
        resume: the position from which the caller asks to go on with a cache, as text; or None.
        can_pause: whether other messages may be sent before this one. A message with a new cache
            must be sent before any message that names the cache.
    """

    outer: Transaction | None = None
    perspective: object = None
    method: object = None
    args: object = None
    kw: object = None
    principal: Principal | None = None
    can_pause: bool = True
    context: Context | None = None
    promised: list[Passed] | None = None
    first_credit: tuple[int, int] | None = None
    resume: str | None = None
    behind: list[bytes | list[Expression]] = []
    requests: list[RequestId] = []
    _undo: list[Callable[[], object]] = []
    sent: list[Callable[[], object]] = []

    @property
    def has_exports(self) -> bool:
        """Whether the message has objects, caches or streams of this connection."""
        return bool(self._undo)

    def on_rollback(self, undo: Callable[[], object]) -> None:
        """Call ``undo`` if the message is not sent."""
        self._undo.append(undo)

    def all_open(self) -> Iterator[Transaction]:
        """Yield this transaction and those in which it was opened."""
        each: Transaction | None = self
        while each is not None:
            yield each
            each = each.outer

    def join(self, packed: bytes | list[Expression] | None, request_id: RequestId | None) -> None:
        """Become part of the outer transaction, whose message is not sent yet either."""
        outer = self.outer
        if outer is not None:
            outer._undo += self._undo
            outer.sent += self.sent
            if packed is not None:
                outer.behind.append(packed)
            outer.behind += self.behind
            if request_id is not None:
                outer.requests.append(request_id)
            outer.requests += self.requests

    def roll_back(self) -> list[BaseException]:
        """Undo everything, newest first; return the errors of application hooks."""
        errors: list[BaseException] = []
        while self._undo:
            try:
                self._undo.pop()()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - the rest must still be undone
                errors.append(error)
        return errors
