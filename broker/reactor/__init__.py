"""The costume of Twisted's reactor over asyncio: `from broker import reactor`.

::

    from broker import reactor

    reactor.listenTCP(8787, factory)
    reactor.run()

The functions are those of one `Reactor`, made here; see there for what each does. Its other names
are modules: `broker.reactor.protocol`, `.error`, `.ssl`.
"""

from __future__ import annotations

from typing import Any

from .mainloop import Reactor

__all__ = [
    "Reactor",
    "callFromThread",
    "callLater",
    "callWhenRunning",
    "connectSSL",
    "connectTCP",
    "default",
    "getDelayedCalls",
    "listenSSL",
    "listenTCP",
    "run",
    "running",
    "seconds",
    "stop",
]

default = Reactor()
"""The reactor behind the functions of this module."""

callFromThread = default.callFromThread
callLater = default.callLater
callWhenRunning = default.callWhenRunning
connectSSL = default.connectSSL
connectTCP = default.connectTCP
getDelayedCalls = default.getDelayedCalls
listenSSL = default.listenSSL
listenTCP = default.listenTCP
run = default.run
seconds = default.seconds
stop = default.stop

# Changes with time, so it is asked for.
running: bool


def __getattr__(name: str) -> Any:
    if name == "running":
        return default.running
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
