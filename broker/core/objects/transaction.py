"""A scope: the making of one outgoing message, which happens whole or not at all.

While a message is made, objects are exported and caches published, by the hooks of the application
among others. If anything in it cannot be sent, all that is undone, newest first, and not a byte is
written. Calls that hooks make meanwhile wait behind the message, and share its fate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.core.principal import Principal
from broker.core.wire.messages import RequestId

__all__ = ["Transaction"]


class Transaction:
    """One message in the making.

    Attributes:
        perspective, method, args, kw: for the hooks, as the Broker's ``serializingPerspective``,
            ``jellyMethod``, ``jellyArgs`` and ``jellyKw``.
        outer: the scope in which this one was opened, or None.
        principal: who owns what the message hands out; None for nobody.
        behind: calls that hooks made, packed to be sent after the message.
        requests: the ids of those calls.
        can_pause: whether other messages may be sent before this one. A message that brings a cache
            comes before all that names the cache.
    """

    __slots__ = (
        "_undo",
        "args",
        "behind",
        "can_pause",
        "kw",
        "method",
        "outer",
        "perspective",
        "principal",
        "requests",
    )

    def __init__(
        self,
        outer: Transaction | None = None,
        perspective: Any = None,
        method: Any = None,
        args: Any = None,
        kw: Any = None,
        principal: Principal | None = None,
    ):
        self.outer = outer
        self.perspective = perspective
        self.method = method
        self.args = args
        self.kw = kw
        self.can_pause = outer is None
        self.principal = principal
        self.behind: list[Any] = []
        self.requests: list[RequestId] = []
        self._undo: list[Callable[[], object]] = []

    def on_rollback(self, undo: Callable[[], object]) -> None:
        """Have ``undo`` called if the message is not sent."""
        self._undo.append(undo)

    def join(self, packed: Any, request_id: RequestId | None) -> None:
        """Become part of the outer scope: its message is not sent yet either."""
        outer = self.outer
        if outer is not None:
            outer._undo += self._undo
            if packed is not None:
                outer.behind.append(packed)
            outer.behind += self.behind
            if request_id is not None:
                outer.requests.append(request_id)
            outer.requests += self.requests

    def roll_back(self) -> list[BaseException]:
        """Undo all that was done, newest first; return what hooks of the application raised."""
        errors: list[BaseException] = []
        while self._undo:
            try:
                self._undo.pop()()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - the rest must be undone all the same
                errors.append(error)
        return errors
