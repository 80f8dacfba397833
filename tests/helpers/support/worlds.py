"""Runs one client program against one server program, for each pairing with Twisted."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import pytest

from support.folders import TESTS
from support.peers import Peer, explained_by

__all__ = ["INTEROP", "PAIRINGS", "WORLDS", "Lines", "Pairing", "Run", "Servers", "run_fixture"]

INTEROP = TESTS / "interop"
WORLDS = ("twisted", "ours")
Lines: TypeAlias = dict[str, dict[str, Any]]


class Pairing(NamedTuple):
    """Which client is used with which server."""

    client: str
    server: str

    def __str__(self) -> str:
        return "-".join(self)


Run: TypeAlias = Callable[[Pairing], tuple[Lines, Peer]]
PAIRINGS = [Pairing(*pair) for pair in itertools.product(WORLDS, WORLDS)]


class Servers:
    """Servers of one program that keep running, one for each world.

    The program is run as ``PROGRAM WORLD`` and prints its ports.

    Args:
        program: the name of the program, in ``tests/interop``.
        stack: ends the servers.
    """

    def __init__(self, program: str, stack: contextlib.ExitStack):
        self._program = program
        self._stack = stack
        self._started: dict[str, tuple[Peer, str]] = {}

    def serve(self, world: str) -> tuple[Peer, str]:
        """Return the server of a world, and its ports as an argument for a client."""
        if world not in self._started:
            peer = Peer(INTEROP / self._program, world, path=[INTEROP])
            self._stack.enter_context(peer)
            with explained_by(peer):
                self._started[world] = peer, json.dumps(peer.read())
        return self._started[world]


class _Runs:
    """The lines of the client of each pairing, run once.

    The client is run as ``CLIENT WORLD PORTS SERVER-WORLD`` and prints a line with the key
    ``scenario`` for each of its scenarios.
    """

    def __init__(self, servers: Servers, client: str):
        self._servers = servers
        self._client = client
        self._runs: dict[Pairing, Lines] = {}

    def run(self, pairing: Pairing) -> tuple[Lines, Peer]:
        """Return the client's lines by scenario, and the server."""
        server, ports = self._servers.serve(pairing.server)
        if pairing not in self._runs:
            arguments = [pairing.client, ports, pairing.server]
            client = Peer(INTEROP / self._client, *arguments, path=[INTEROP])
            with explained_by(server), client:
                lines = client.read_all()
            self._runs[pairing] = {line["scenario"]: line for line in lines}
        return self._runs[pairing], server


def run_fixture(server: str, client: str) -> Any:
    """Return a fixture: a function that runs the client of a pairing against a running server.

    Args:
        server, client: the names of the programs, in ``tests/interop``.
    """

    @pytest.fixture(scope="module")
    def run() -> Iterator[Run]:
        with contextlib.ExitStack() as stack:
            yield _Runs(Servers(server, stack), client).run

    return run
