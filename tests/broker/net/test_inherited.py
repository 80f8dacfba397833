"""Sockets that the process was started with: descriptors, and those of systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.errors import ConfigError
from broker.net import inherited
from broker.net.inherited import Inherited, adopted_sockets, bind_inherited
from broker.net.schemes import parse_address


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return the argument."""
        return value


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Open a listening socket of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.mark.parametrize(
    ("text", "location", "shown"),
    [
        ("pb+fd:3", Inherited("pb+fd", "3", False), "pb+fd:3"),
        ("pbs+fd://07", Inherited("pbs+fd", "7", True), "pbs+fd:7"),
        ("pb+systemd:office", Inherited("pb+systemd", "office", False), "pb+systemd:office"),
        ("pbs+systemd:", Inherited("pbs+systemd", "", True), "pbs+systemd:"),
    ],
)
def test_addresses(text: str, location: Inherited, shown: str) -> None:
    """An address names a descriptor, or what systemd has passed; ``//`` changes nothing."""
    assert parse_address(text) == location
    assert str(location) == shown


@pytest.mark.parametrize("text", ["pb+fd:", "pb+fd:x", "pb+fd:-1", "pbs+fd:1234567", "pb+fd:٣"])
def test_wrong_addresses(text: str) -> None:
    """A descriptor is a number."""
    with pytest.raises(ConfigError, match=r"names no socket; write pb\+fd:3"):
        parse_address(text)


async def test_a_descriptor(listening: socket.socket) -> None:
    """A server at a descriptor serves there; it can be closed and started again."""
    for _ in range(2):
        async with broker.serve(Echo(), f"pb+fd:{listening.fileno()}") as server:
            (address,) = server.addresses
            assert address == f"pb://127.0.0.1:{listening.getsockname()[1]}"
            async with broker.connect(address) as connection:
                assert await connection.root.callRemote("echo", 1) == 1


async def test_sockets_of_a_program(listening: socket.socket) -> None:
    """``sockets=`` are served like addresses, and alone without the default address."""
    async with broker.serve(Echo(), sockets=[listening]) as server:
        assert server.addresses == (f"pb://127.0.0.1:{listening.getsockname()[1]}",)
    async with broker.serve(Echo(), "pb://127.0.0.1:0", sockets=[listening]) as server:
        assert len(server.addresses) == 2
    with pytest.raises(broker.WrongType, match=r"^sockets= takes sockets, not int$"):
        broker.serve(Echo(), sockets=[3])  # type: ignore[list-item]


async def test_a_unix_socket_keeps_its_file(tmp_path: Path) -> None:
    """The file of a UNIX socket belongs to the program that has made it."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        async with broker.serve(Echo(), sockets=[sock]) as server:
            assert server.addresses == (f"pb+unix://{path}",)
            async with broker.connect(server.addresses[0]) as connection:
                assert await connection.root.callRemote("echo", 2) == 2
        assert path.exists()


def test_plaintext_is_checked() -> None:
    """A public socket without TLS is refused as a public address is."""
    with socket.create_server(("0.0.0.0", 0)) as sock:
        port = sock.getsockname()[1]
        where = rf"^pb\+fd:{sock.fileno()} is 0\.0\.0\.0:{port}, without TLS; "
        with pytest.raises(ConfigError, match=where):
            broker.serve(Echo(), sockets=[sock])
        broker.serve(
            Echo(), sockets=[sock], policy=broker.STRICT.but(insecure_plaintext=True)
        ).close()


def test_what_does_not_listen(listening: socket.socket) -> None:
    """A closed descriptor, a file and a connected socket are not addresses to listen at."""
    with socket.create_connection(listening.getsockname()) as connected:
        for number in (connected.fileno(), 0):
            with pytest.raises(ConfigError, match=r"is not (a listening stream|an open) socket"):
                broker.serve(Echo(), f"pb+fd:{number}")
        closed = connected.fileno()
    with pytest.raises(ConfigError, match=f"descriptor {closed} is not an open socket"):
        broker.serve(Echo(), f"pb+fd:{closed}")


def test_clients() -> None:
    """A client cannot connect to a socket that listens."""
    with pytest.raises(ConfigError, match=r"^pb\+fd:3 is an address for serve"):
        broker.connect("pb+fd:3")


def test_the_variables_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are read for this process only, and removed in any case."""
    here = str(os.getpid())
    monkeypatch.setattr(inherited, "FIRST", 0)
    named = {"LISTEN_PID": here, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:a", "HOME": "/"}
    assert adopted_sockets(named) == {"a": [0, 2], "b": [1]}
    assert named == {"HOME": "/"}
    assert adopted_sockets({"LISTEN_PID": here, "LISTEN_FDS": "1"}) == {"unknown": [0]}
    for environment in (
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": here, "LISTEN_FDS": "x"},
        {},
    ):
        assert adopted_sockets(environment) == {}
        assert environment == {}


def test_names(monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    """All sockets of a name are taken; an unknown name is an error that has the known ones."""
    number = listening.fileno()
    monkeypatch.setattr(inherited, "_passed", {"office": [number], "admin": [number]})
    for text, count in (("pb+systemd:office", 1), ("pb+systemd:", 2)):
        location = parse_address(text)
        assert isinstance(location, Inherited)
        sockets = bind_inherited(location)
        assert [sock.getsockname() for sock in sockets] == [listening.getsockname()] * count
        for sock in sockets:
            sock.close()
    text = "^no socket was passed under the name 'x'; the names are admin, office$"
    with pytest.raises(ConfigError, match=text):
        broker.serve(Echo(), "pb+systemd:x")
    monkeypatch.setattr(inherited, "_passed", {})
    with pytest.raises(ConfigError, match=r"^no socket was passed under the name 'x'$"):
        broker.serve(Echo(), "pb+systemd:x")
    with pytest.raises(ConfigError, match=r"^no socket was passed by systemd"):
        broker.serve(Echo(), "pb+systemd:")


PROGRAM = """
import asyncio, os, broker

class Echo(broker.Root):
    def remote_environment(self):
        return sorted(name for name in os.environ if name.startswith("LISTEN_"))

async def main():
    async with broker.serve(Echo(), "pb+systemd:office") as server:
        print(*server.addresses, flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


async def test_started_by_systemd(listening: socket.socket) -> None:
    """A process gets its socket as the third descriptor, and leaves no variable behind."""
    # The number of the process that execs is known to the shell only.
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$0" -c "$1"',
         sys.executable, PROGRAM],
        stdin=listening.fileno(),
        stdout=subprocess.PIPE,
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "office"},
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address == f"pb://127.0.0.1:{listening.getsockname()[1]}"
        async with broker.connect(address) as connection:
            assert await connection.root.callRemote("environment") == []
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0
