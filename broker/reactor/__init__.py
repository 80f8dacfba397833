"""The API of Twisted's reactor on asyncio: `from broker import reactor`.

::

    from broker import reactor

    reactor.listenTCP(8787, factory)
    reactor.run()

The functions are the methods of one `Reactor`, which documents them. The other names are modules:
`broker.reactor.protocol`, `.error`, `.task`, `.threads`, `.endpoints`, `.ssl`, `.interfaces` and
others.
"""

from __future__ import annotations

import sys
from typing import Any

from zope.interface import directlyProvides

from broker.reactor.engine.installed import default
from broker.reactor.engine.provided import REACTOR
from broker.reactor.engine.reactor import Reactor

__all__ = [
    "Reactor",
    "addReader",
    "addSystemEventTrigger",
    "addWriter",
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
    "getReaders",
    "getThreadPool",
    "getWriters",
    "iterate",
    "listenSSL",
    "listenTCP",
    "listenUNIX",
    "removeAll",
    "removeReader",
    "removeSystemEventTrigger",
    "removeWriter",
    "resolve",
    "run",
    "running",
    "seconds",
    "spawnProcess",
    "startRunning",
    "stop",
    "suggestThreadPoolSize",
]

addReader = default.addReader
addSystemEventTrigger = default.addSystemEventTrigger
addWriter = default.addWriter
callFromThread = default.callFromThread
callInThread = default.callInThread
callLater = default.callLater
callWhenRunning = default.callWhenRunning
connectSSL = default.connectSSL
connectTCP = default.connectTCP
connectUNIX = default.connectUNIX
fireSystemEvent = default.fireSystemEvent
getDelayedCalls = default.getDelayedCalls
getReaders = default.getReaders
getThreadPool = default.getThreadPool
getWriters = default.getWriters
iterate = default.iterate
listenSSL = default.listenSSL
listenTCP = default.listenTCP
listenUNIX = default.listenUNIX
removeAll = default.removeAll
removeReader = default.removeReader
removeSystemEventTrigger = default.removeSystemEventTrigger
removeWriter = default.removeWriter
resolve = default.resolve
run = default.run
seconds = default.seconds
spawnProcess = default.spawnProcess
startRunning = default.startRunning
stop = default.stop
suggestThreadPoolSize = default.suggestThreadPoolSize

# Its value changes, so it is read on each access.
running: bool


def __getattr__(name: str) -> Any:
    if name == "running":
        return default.running
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


directlyProvides(sys.modules[__name__], *REACTOR)
