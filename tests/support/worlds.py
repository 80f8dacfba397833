"""Runs one client program against one server program, for each pairing with Twisted."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

from peers import Peer, explained_by

__all__ = ["PAIRINGS", "Lines", "Pairing", "Runs"]

INTEROP = Path(__file__).parents[1] / "interop"
WORLDS = ("twisted", "ours")
Lines = dict[str, dict[str, Any]]


class Pairing(NamedTuple):
    """Which client is used with which server."""

    client: str
    server: str

    def __str__(self) -> str:
        return "-".join(self)


PAIRINGS = [Pairing(*pair) for pair in itertools.product(WORLDS, WORLDS)]


class Runs:
    """Servers that keep running, and the lines of the client of each pairing, run once.

    The server is run as ``SERVER WORLD`` and prints its ports. The client is run as ``CLIENT WORLD
    PORTS SERVER-WORLD`` and prints a line with the key ``scenario`` for each of its scenarios.

    Args:
        server, client: the names of the programs, in ``tests/interop``.
        stack: ends the servers.
    """

    def __init__(self, server: str, client: str, stack: contextlib.ExitStack):
        self._server = server
        self._client = client
        self._stack = stack
        self._servers: dict[str, tuple[Peer, str]] = {}
        self._runs: dict[Pairing, Lines] = {}

    def run(self, pairing: Pairing) -> tuple[Lines, Peer]:
        """Return the client's lines by scenario, and the server."""
        if pairing.server not in self._servers:
            peer = Peer(INTEROP / self._server, pairing.server, path=[INTEROP])
            self._stack.enter_context(peer)
            with explained_by(peer):
                self._servers[pairing.server] = peer, json.dumps(peer.read())
        server, ports = self._servers[pairing.server]
        if pairing not in self._runs:
            arguments = [pairing.client, ports, pairing.server]
            client = Peer(INTEROP / self._client, *arguments, path=[INTEROP])
            with explained_by(server), client:
                lines = client.read_all()
            self._runs[pairing] = {line["scenario"]: line for line in lines}
        return self._runs[pairing], server
