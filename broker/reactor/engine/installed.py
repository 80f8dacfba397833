"""The one reactor behind the functions of `broker.reactor`."""

from __future__ import annotations

from broker.reactor.engine.reactor import Reactor

__all__ = ["default", "install"]

default = Reactor()
"""The reactor behind the functions of `broker.reactor`."""


def install() -> None:
    """Do nothing: the reactor is asyncio's loop, which has chosen its selector.

    Programs of Twisted choose their reactor by this function (published).
    """
