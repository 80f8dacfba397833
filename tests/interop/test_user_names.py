"""User names cross as str or bytes, as the program gave them, in all four pairings with Twisted."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer, explained_by
from support.worlds import WORLDS, Servers

HERE = Path(__file__).parent

STR, BYTES, NO = "str 'alice'", "bytes b'alice'", "UnauthorizedLogin"
REFUSED = {"wrong": NO, "unknown": NO, "capitals": NO, "guest": "tuple()"}

# The result of each login at Twisted's server, from any client.
AT_TWISTED = {
    "str": {**REFUSED, "str": STR, "bytes": NO},
    "bytes": {**REFUSED, "str": NO, "bytes": BYTES},
    "file": {**REFUSED, "str": NO, "bytes": BYTES},
    "file without case": {**REFUSED, "str": NO, "bytes": BYTES, "capitals": BYTES},
}
# Our server accepts the users that Twisted's accepts, under the same names. It also accepts names
# of the other type, which Twisted's refuses, under the same names.
AT_OURS = {
    "str": {**REFUSED, "str": STR, "bytes": STR},
    "bytes": {**REFUSED, "str": BYTES, "bytes": BYTES},
    "file": {**REFUSED, "str": BYTES, "bytes": BYTES},
    "file without case": {**REFUSED, "str": BYTES, "bytes": BYTES, "capitals": BYTES},
}
TABLES = {"twisted": AT_TWISTED, "ours": AT_OURS}


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[str, str], tuple[Any, Peer]]]:
    """A function that runs a client's program against a server that keeps running."""
    with ExitStack() as stack:
        servers = Servers("names_server.py", stack)

        def run_pair(client_world: str, server_world: str) -> tuple[Any, Peer]:
            server, ports = servers.serve(server_world)
            client = Peer(HERE / "names_client.py", client_world, ports, path=[HERE])
            with explained_by(server), client:
                return client.read_all()[-1], server

        yield run_pair


@pytest.mark.parametrize("client", WORLDS)
@pytest.mark.parametrize("server", WORLDS)
def test_the_type_that_was_given(
    run: Callable[[str, str], tuple[Any, Peer]], client: str, server: str
) -> None:
    """Checkers and realms get the type that the client was given, or that the checker returned."""
    outcomes, _ = run(client, server)
    shown = outcomes.pop("shown")
    assert (shown["str"], shown["bytes"]) == (STR, BYTES)
    assert shown["capitals"] == "bytes b'ALICE'"
    del outcomes["root"]
    assert outcomes == TABLES[server]


def test_a_server_of_twisteds_logs_nothing_of_our_logins() -> None:
    """None of our logins makes a call that a Twisted server does not know, and would log."""
    with Peer(HERE / "names_server.py", "twisted", path=[HERE]) as server:
        ports = server.read()
        for portal, names in (("str", ["str", "guest"]), ("bytes", ["bytes", "guest"])):
            chosen = json.dumps({portal: ports[portal]})
            client = Peer(HERE / "names_client.py", "ours", chosen, *names, path=[HERE])
            with explained_by(server), client:
                (outcomes,) = client.read_all()
            assert outcomes == {
                portal: {names[0]: AT_TWISTED[portal][names[0]], "guest": "tuple()"}
            }
        log = server.stderr()
        assert "PBServerFactory starting" in log
        for word in ("Traceback", "Unhandled", "NoSuchMethod", "mechanisms"):
            assert word not in log


def test_a_client_of_twisteds_passes_over_the_logins() -> None:
    """For a Twisted client, the addition to our server's offer is only another dialect."""
    with Peer(HERE / "names_server.py", "ours", path=[HERE]) as server:
        ports = server.read()
        with socket.create_connection(("127.0.0.1", ports["str"]), 10) as stranger:
            offer = stranger.recv(4096)
        assert b"login password challenge anonymous" in offer
        chosen = json.dumps({"str": ports["str"]})
        client = Peer(HERE / "names_client.py", "twisted", chosen, "str", path=[HERE])
        with explained_by(server), client:
            assert client.read_all() == [{"str": {"str": STR}}]
        assert "Traceback" not in server.stderr()
