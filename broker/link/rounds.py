"""One connection of a link: its tasks, and how the link leaves it for another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from broker.connection.connection import Connection
from broker.defer import CancelledError, Deferred
from broker.errors import Disconnected, ServerDraining
from broker.stopping import DRAIN, close_all, drained

__all__ = ["MOVED", "Round", "Work"]

MOVED = "the client has another connection"

Work: TypeAlias = Callable[[Connection], Coroutine[Any, Any, object]]
"""The function of a task."""


class Round:
    """One connection of a link.

    Attributes:
        connection: the connection.
        tasks: the tasks that run on it.
        is_left: whether it is being closed, since there is another one.
    """

    def __init__(self, connection: Connection):
        self.connection = connection
        self.tasks: set[asyncio.Task[object]] = set()
        self.is_left = False

    async def run(self, function: Work, fail: Callable[[BaseException], object]) -> None:
        """Run a task; call ``fail(error)`` if it raises what ends the link."""
        try:
            await function(self.connection)
        except (Disconnected, ServerDraining, CancelledError):
            # The connection has ended, or takes no more calls: the next one has its own task.
            pass
        except Exception as error:  # noqa: BLE001 - it ends the link
            fail(error)

    async def leave(self) -> None:
        """Let the running calls of both ends end, say goodbye, and close."""
        broker = self.connection.broker
        for end in [_settled(call) for call in list(broker.calls.waiting.values())]:
            await end
        await drained([broker], DRAIN)
        if not broker.disconnected:
            seconds = broker.policy.close_timeout
            await close_all([broker], seconds, MOVED, at_once=False, code="moved")


def _settled(call: Deferred[object]) -> Deferred[None]:
    """Return a Deferred that fires when a call has ended, which keeps its result."""
    ended: Deferred[None] = Deferred()

    def tell(result: object) -> object:
        ended.callback(None)
        return result

    call.addBoth(tell)
    return ended
