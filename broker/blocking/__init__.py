"""The synchronous API: connections, servers and streams for scripts, notebooks and threads.

``with broker.blocking.connect("pbs://host", credentials) as connection:`` connects, and
``connection.avatar.callRemote("name", …)`` waits for the result. Any thread may use any object. All
connections live in one event loop, which runs in a thread of its own.
"""

from __future__ import annotations

from broker.blocking.connection import Connection, connect
from broker.blocking.loop import loop
from broker.blocking.reference import Reference, Stream
from broker.blocking.server import Server, serve
from broker.blocking.timeouts import timeout
from broker.blocking.visits import Login, Visit, arrive

__all__ = [
    "Connection",
    "Login",
    "Reference",
    "Server",
    "Stream",
    "Visit",
    "arrive",
    "connect",
    "loop",
    "serve",
    "timeout",
]
