"""An observer that does nothing, to measure what telling of a call costs."""

from __future__ import annotations

import broker

__all__ = ["IdleObserver"]


class IdleObserver(broker.Observer):
    """Overrides the methods of calls."""

    def call_started(self, call: broker.Call) -> None:
        """Do nothing."""

    def call_ended(
        self, token: object, call: broker.Call, outcome: broker.Outcome, error: object
    ) -> None:
        """Do nothing."""
