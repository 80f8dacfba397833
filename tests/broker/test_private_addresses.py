"""The addresses ``pb+unix:`` and ``pb+exec:``, with real sockets and children of both houses."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import broker
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.portal import Portal

OURS = """
    from broker import pb, reactor
    from broker.reactor import stdio
"""
TWISTED = """
    from twisted.internet import reactor, stdio
    from twisted.spread import pb
"""
CHILD = """
    import os

    class Root(pb.Root):
        def remote_echo(self, value):
            return value

        def remote_call(self, reference):
            return reference.callRemote("twice", 21)

        def remote_die(self):
            os._exit(3)

    class Factory(pb.PBServerFactory):
        def buildProtocol(self, addr):
            broker = super().buildProtocol(addr)
            broker.notifyOnDisconnect(reactor.stop)
            return broker

    stdio.StandardIO(Factory(Root()).buildProtocol(None))
    reactor.run()
"""
BARE = """
    import asyncio
    from broker import pb
    from broker.reactor import stdio

    class Root(pb.Root):
        def remote_echo(self, value):
            return value

    async def main():
        broker = pb.PBServerFactory(Root()).buildProtocol(None)
        stdio.StandardIO(broker)
        await broker.closed

    asyncio.run(main())
"""


LOGIN = """
    from broker import realm
    from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
    from cred.portal import Portal

    class Avatar(pb.Avatar):
        def perspective_ping(self):
            return "pong"

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    portal = Portal(realm(lambda name, mind: Avatar()), [checker])
    broker = pb.PBServerFactory(portal).buildProtocol(None)
    broker.notifyOnDisconnect(reactor.stop)
    stdio.StandardIO(broker)
    reactor.run()
"""


class Root(broker.Root):
    """Says who calls."""

    def remote_peer(self) -> str:
        """Return the caller's address."""
        return str(broker.current_call().peer.address)


class Twice(broker.Referenceable):
    """Doubles."""

    def remote_twice(self, number: int) -> int:
        """Return twice the number."""
        return 2 * number


def command(folder: Path, *parts: str) -> str:
    """The address of a program that is written to a file."""
    file = folder / "a child.py"
    file.write_text("".join(map(textwrap.dedent, parts)))
    return f"pb+exec:{shlex.join([sys.executable, '-W', 'error', str(file)])}"


async def speak(address: str) -> None:
    """Call, be called back, and see a big value through."""
    async with broker.connect(address) as connection:
        root = connection.root
        assert await root.callRemote("echo", [1, "two"]) == [1, "two"]
        assert await root.callRemote("call", Twice()) == 42
        big = bytes(600_000)
        assert await root.callRemote("echo", big) == big
        assert str(connection.peer.address) == address.removeprefix("pb+exec:")
    assert connection.is_closed


@pytest.mark.parametrize("house", [OURS, TWISTED], ids=["ours", "twisted"])
async def test_child(tmp_path: Path, house: str) -> None:
    """A child serves on its standard streams, ours and Twisted's, and ends with the connection."""
    await speak(command(tmp_path, house, CHILD))


async def test_child_with_asyncio(tmp_path: Path) -> None:
    """A child may also serve from within asyncio."""
    async with broker.connect(command(tmp_path, BARE)) as connection:
        assert await connection.root.callRemote("echo", 5) == 5


async def test_child_is_private(tmp_path: Path) -> None:
    """A password may go to a child: nobody listens in."""
    address = command(tmp_path, OURS, LOGIN)
    async with broker.connect(address, UsernamePassword(b"alice", b"secret")) as connection:
        assert await connection.avatar.callRemote("ping") == "pong"


async def test_child_dies(tmp_path: Path) -> None:
    """A child that dies in a call fails the call, which may have run, and says how it ended."""
    async with broker.connect(command(tmp_path, OURS, CHILD)) as connection:
        with pytest.raises(broker.PBConnectionLost) as caught:
            await connection.root.callRemote("die")
    assert caught.value.may_have_run
    assert str(caught.value) == "the command exited with status 3"


@pytest.mark.parametrize(
    ("address", "error", "text"),
    [
        ("pb+exec:no-such-program", broker.ConnectError, "cannot run 'no-such-program': No such"),
        ("pb+exec:false", broker.PBConnectionLost, "ended: the command exited with status 1"),
        ("pb+exec:true", broker.PBConnectionLost, "pb+exec:true closed the connection without an"),
        ("pb+exec:echo hello", (broker.ProtocolError, broker.PBConnectionLost), ""),
    ],
)
async def test_no_server(address: str, error: Any, text: str) -> None:
    """A command that does not speak Perspective Broker is an error that says so."""
    with pytest.raises(error) as caught:
        await broker.connect(address)
    assert text in str(caught.value)


def test_serving_a_command() -> None:
    """A command is no place to serve at, and needs no certificate."""
    with pytest.raises(broker.ConfigError, match="is an address for connect"):
        broker.serve(Root(), "pb+exec:true")
    with pytest.raises(broker.ConfigError, match="tls= is for pbs:// and wss:// addresses"):
        broker.connect("pb+exec:true", tls=broker.TLS.client(pin="00" * 32))


async def test_unix(tmp_path: Path) -> None:
    """A server listens at a path, which is in its addresses, and takes the file away at the end."""
    path = tmp_path / "a socket"

    async with broker.serve(Root(), f"pb+unix://{path}", "pb://127.0.0.1:0") as server:
        assert server.addresses[0] == f"pb+unix://{tmp_path}/a%20socket"
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        async with broker.connect(server.addresses[0]) as connection:
            assert await connection.root.callRemote("peer") == "unix:"
            assert str(connection.peer.address) == f"unix:{path}"
    assert not path.exists()


async def test_unix_is_private(tmp_path: Path) -> None:
    """A password may go over a UNIX socket: nobody listens in."""
    address = f"pb+unix://{tmp_path}/s"

    class Avatar(broker.Avatar):
        def perspective_ping(self) -> str:
            return "pong"

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    portal = Portal(broker.realm(lambda name, mind: Avatar()), [checker])

    credentials = UsernamePassword(b"alice", b"secret")
    async with (
        broker.serve(portal, address),
        broker.connect(address, credentials) as connection,
    ):
        assert await connection.avatar.callRemote("ping") == "pong"


async def test_unix_stale(tmp_path: Path) -> None:
    """A socket that nobody listens at any more is replaced; a live one, or a file, is not."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    address = f"pb+unix://{path}"

    async with broker.serve(Root(), address):
        with pytest.raises(broker.CannotListenError):
            await broker.serve(Root(), address)
        async with broker.connect(address) as connection:
            assert await connection.root.callRemote("peer") == "unix:"
    path.write_text("a file")
    with pytest.raises(broker.CannotListenError):
        await broker.serve(Root(), address)
    assert path.read_text() == "a file"


async def test_unix_is_undone(tmp_path: Path) -> None:
    """Where one of several addresses cannot be had, the sockets of the others are taken away."""
    with pytest.raises(broker.CannotListenError):
        await broker.serve(Root(), f"pb+unix://{tmp_path}/s", f"pb+unix://{tmp_path}/no/s")
    assert list(tmp_path.iterdir()) == []


async def test_nobody_there(tmp_path: Path) -> None:
    """A path without a server is a ConnectError that says so."""
    with pytest.raises(broker.ConnectError, match="is the server running"):
        await broker.connect(f"pb+unix://{tmp_path}/s")
