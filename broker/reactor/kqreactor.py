"""Published names of `twisted.internet.kqreactor`, for programs that choose their reactor."""

from __future__ import annotations

from broker.reactor.engine.installed import install

__all__ = ["install"]
