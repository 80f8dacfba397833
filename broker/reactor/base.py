"""Published name of `twisted.internet.base`: the class of delayed calls."""

from __future__ import annotations

from broker.reactor.engine.timers import DelayedCall

__all__ = ["DelayedCall"]
