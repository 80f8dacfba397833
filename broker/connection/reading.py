"""Reading: whether what a peer sends is read, and for how long it was not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Reading"]


class Reading:
    """Flow control of one connection: its transport is paused and resumed here alone.

    Args:
        transport: what is paused, if it can be.
        now: the clock.
        allow: called with the seconds for which nothing was read, when reading goes on: they do not
            count against the peer.
    """

    __slots__ = ("_allow", "_now", "_stopped_at", "_transport")

    def __init__(self, transport: Any, now: Callable[[], float], allow: Callable[[float], object]):
        self._transport = transport
        self._now = now
        self._allow = allow
        self._stopped_at: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether it is read."""
        return self._stopped_at is None

    def turn(self, is_on: bool) -> bool:
        """Read, or do not; return whether that is a change."""
        stopped_at = self._stopped_at
        if is_on is (stopped_at is None):
            return False
        self._stopped_at = None if is_on else self._now()
        if stopped_at is not None:
            self._allow(self._now() - stopped_at)
        if hasattr(self._transport, "pauseProducing"):
            if is_on:
                self._transport.resumeProducing()
            else:
                self._transport.pauseProducing()
        return True
