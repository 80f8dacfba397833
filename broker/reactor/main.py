"""Published names of `twisted.internet.main`: results of `doRead` and `doWrite` at the end."""

from __future__ import annotations

from broker.reactor.error import ConnectionDone, ConnectionLost

__all__ = ["CONNECTION_DONE", "CONNECTION_LOST"]

CONNECTION_DONE = ConnectionDone("Connection done")
CONNECTION_LOST = ConnectionLost("Connection lost")
