"""The one reactor behind the functions of `broker.reactor`."""

from __future__ import annotations

from .doors import Reactor

__all__ = ["default"]

default = Reactor()
"""The reactor behind the functions of `broker.reactor`."""
