"""Published names of `twisted.internet.asyncioreactor`: the reactor in a loop of the program."""

from __future__ import annotations

import asyncio

from broker.reactor.engine.installed import default
from broker.reactor.engine.reactor import Reactor

__all__ = ["AsyncioSelectorReactor", "install"]


class AsyncioSelectorReactor(Reactor):
    """A reactor in an event loop that the program owns (published).

    Args:
        eventloop: the loop; with None, `run` makes one.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop | None = None):
        super().__init__()
        if eventloop is not None:
            self.use_loop(eventloop)


def install(eventloop: asyncio.AbstractEventLoop | None = None) -> None:
    """Let `broker.reactor` run in this loop, which it does not close (published).

    Args:
        eventloop: the loop. Without one this does nothing: the reactor uses asyncio anyway.

    Raises:
        ReactorAlreadyRunning: the reactor has a loop already.
    """
    if eventloop is not None:
        default.use_loop(eventloop)
