"""The costume of Twisted's reactor over asyncio: `from broker import reactor`.

::

    from broker import reactor

    reactor.listenTCP(8787, factory)
    reactor.run()

The functions are those of one `Reactor`; see there for what each does. Its other names are
modules: `broker.reactor.protocol`, `.error`, `.task`, `.threads`, `.endpoints`, `.ssl`,
`.interfaces`.
"""

from __future__ import annotations

from typing import Any

from .doors import Reactor
from .installed import default

__all__ = [
    "Reactor",
    "addSystemEventTrigger",
    "callFromThread",
    "callInThread",
    "callLater",
    "callWhenRunning",
    "connectSSL",
    "connectTCP",
    "connectUNIX",
    "default",
    "fireSystemEvent",
    "getDelayedCalls",
    "getThreadPool",
    "listenSSL",
    "listenTCP",
    "listenUNIX",
    "removeSystemEventTrigger",
    "resolve",
    "run",
    "running",
    "seconds",
    "spawnProcess",
    "stop",
    "suggestThreadPoolSize",
]

addSystemEventTrigger = default.addSystemEventTrigger
callFromThread = default.callFromThread
callInThread = default.callInThread
callLater = default.callLater
callWhenRunning = default.callWhenRunning
connectSSL = default.connectSSL
connectTCP = default.connectTCP
connectUNIX = default.connectUNIX
fireSystemEvent = default.fireSystemEvent
getDelayedCalls = default.getDelayedCalls
getThreadPool = default.getThreadPool
listenSSL = default.listenSSL
listenTCP = default.listenTCP
listenUNIX = default.listenUNIX
removeSystemEventTrigger = default.removeSystemEventTrigger
resolve = default.resolve
run = default.run
seconds = default.seconds
spawnProcess = default.spawnProcess
stop = default.stop
suggestThreadPoolSize = default.suggestThreadPoolSize

# Changes with time, so it is asked for.
running: bool


def __getattr__(name: str) -> Any:
    if name == "running":
        return default.running
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
