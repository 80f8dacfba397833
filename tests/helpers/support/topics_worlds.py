"""The engines of topics, each with what a test of it does: nodes, and a server that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import broker
from broker.topics.engine import Engine
from broker.topics.engines.nats import NatsEngine
from broker.topics.engines.postgres import PostgresEngine
from support.nats_server import NatsServer
from support.postgres import Postgres, running_postgres

__all__ = ["WORLDS", "World", "running_world"]


class World:
    """One kind of engine, in a place of its own for each test.

    Attributes:
        kind: ``memory``, ``nats`` or ``postgres``.
    """

    def __init__(self, kind: str, server: NatsServer | Postgres | None):
        self.kind = kind
        self._server = server
        self._number = 0
        self._shared: Engine | None = None

    @property
    def has_server(self) -> bool:
        """Whether it can be killed, and nodes can share it."""
        return self._server is not None

    @property
    def url(self) -> str:
        """Where its server is; empty without one."""
        return "" if self._server is None else self._server.url

    def renew(self) -> None:
        """Begin anew: nodes made from now on share nothing with those before."""
        self._number += 1

    def engine(self, history: broker.History | None = None) -> Engine:
        """Return the engine of a new node."""
        name = f"t{self._number}"
        if isinstance(self._server, NatsServer):
            return NatsEngine(self._server.url, name=name, history=history)
        if isinstance(self._server, Postgres):
            address = self._server.url
            return PostgresEngine(address, name=name, history=history)
        return broker.MemoryEngine(history=history)

    def kill(self) -> None:
        """Kill the server."""
        if isinstance(self._server, NatsServer):
            self._server.kill()
        elif isinstance(self._server, Postgres):
            self._server.stop()

    def start(self) -> None:
        """Start the server again, with what it had."""
        if self._server is not None:
            self._server.start()


WORLDS = ("memory", "nats", "postgres")


@contextmanager
def running_world(kind: str, folder: Path) -> Iterator[World]:
    """Run the server of an engine while the block runs."""
    if kind == "memory":
        yield World(kind, None)
    elif kind == "nats":
        server = NatsServer(folder)
        server.start()
        try:
            yield World(kind, server)
        finally:
            server.kill()
    else:
        with running_postgres() as postgres:
            yield World(kind, postgres)
