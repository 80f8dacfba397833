"""Copied factories that log in again automatically: they work in all four pairings.

The server is killed and restarted at the same address, without a message to the client.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from support.peers import Peer
from support.worlds import INTEROP, PAIRINGS, Pairing

# The events with the factory of a worker, and the further ones with that of a proxy.
ENDED = [["pending", True], ["lost", None, None]]
QUIET = [["lost", None, None], ["quiet", 0, 0, []]]


class Rooms:
    """Starts the programs of a pairing, one server after the other at the same address."""

    def __init__(self, pairing: Pairing, place: str, stack: contextlib.ExitStack):
        self._pairing = pairing
        self._place = place
        self._stack = stack

    def serve(self) -> Peer:
        """Start a server, and return it when it listens."""
        server = self._start("recipe_server.py", self._pairing.server, self._place)
        assert server.read() == {"recipe": self._place}
        return server

    def connect(self, way: str) -> Peer:
        """Start a client."""
        return self._start("reconnecting_client.py", self._pairing.client, way, self._place)

    def _start(self, program: str, *arguments: str) -> Peer:
        peer = Peer(INTEROP / program, *arguments, path=[INTEROP])
        return self._stack.enter_context(peer)


@pytest.fixture(params=PAIRINGS, ids=str)
def rooms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The programs of one pairing, at a path that is short enough for a UNIX socket."""
    with contextlib.ExitStack() as stack:
        yield Rooms(request.param, str(tmp_path_factory.mktemp("r") / "s"), stack)


@pytest.mark.parametrize("way", ["worker", "proxy"])
def test_a_server_that_was_killed_is_logged_into_again(rooms: Rooms, way: str) -> None:
    """Pending calls fail with PBConnectionLost; a new server gets a login; no event follows."""
    server = rooms.serve()
    client = rooms.connect(way)
    assert [client.read(), client.read()] == [["in", "ann"], ["calling"]]
    server.close()
    assert [client.read(), client.read()] == ENDED
    if way == "proxy":
        assert client.read() == ["waiting", 1]
    rooms.serve()
    assert [client.read(), *client.read_all()] == [["in", "ann"], *QUIET]


@pytest.mark.parametrize("way", ["worker", "proxy"])
def test_a_server_that_comes_later_is_logged_into(rooms: Rooms, way: str) -> None:
    """A client that starts first tries until there is a server."""
    client = rooms.connect(way)
    server = rooms.serve()
    assert [client.read(), client.read()] == [["in", "ann"], ["calling"]]
    server.close()
    assert [client.read(), client.read()] == ENDED


def test_a_refused_login_is_not_tried_again(rooms: Rooms) -> None:
    """A wrong password stops the retries; no event remains."""
    rooms.serve()
    client = rooms.connect("wrong")
    assert client.read_all() == [["refused", True], *QUIET]
