"""Slow connections: whether a connection takes what is sent, and the call when it does again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.core.host import Invoker

__all__ = ["is_slow"]


def is_slow(broker: Invoker) -> bool:
    """Return whether a connection has more unsent bytes than the policy's high water mark.

    Its ``pump.when_drained`` then calls back when few bytes are unsent.
    """
    session = broker.session
    unsent = session.outbox.unsent.size
    if unsent > broker.policy.high_water and session.translator.transaction is None:
        # While a method called by the subscriber runs, or with few large events, messages would
        # collect in the outbox, where they are not counted as unsent.
        broker.flush()
    return broker.pump.is_congested
