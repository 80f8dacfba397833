"""Sockets whose family and type are numbers, at both ends of a connection."""

from __future__ import annotations

import asyncio
import socket

import pytest

import broker
from broker.net.sockets import bind_stream, bind_unix
from broker.net.stream_socket import StreamSocket, accepted_by


def test_family_and_type_are_numbers() -> None:
    """They equal the members of the enums, and reading them makes no call of Python."""
    with StreamSocket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert (type(sock.family), type(sock.type)) == (int, int)
        assert sock.family == socket.AF_INET
        assert sock.type == socket.SOCK_STREAM
        with sock.dup() as copy:
            assert copy.family == socket.AF_INET


@pytest.mark.parametrize("kind", [socket.socket, StreamSocket])
def test_accepted_by(kind: type[socket.socket]) -> None:
    """The socket of an accepted connection has the kind of the listening one; it does not block."""
    with kind(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client = socket.create_connection(listening.getsockname())
        with client, accepted_by(listening) as accepted:
            assert type(accepted) is kind
            assert not accepted.getblocking()
            assert (accepted.family, accepted.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert accepted.getpeername() == client.getsockname()
            client.sendall(b"x")
            accepted.setblocking(True)
            assert accepted.recv(1) == b"x"


def test_nothing_to_accept() -> None:
    """Without a waiting connection the error is that of the listening socket."""
    (listening,) = bind_stream("127.0.0.1", 0)
    with listening, pytest.raises(BlockingIOError):
        accepted_by(listening)


def test_the_sockets_of_a_server(tmp_path: object) -> None:
    """A server listens on such sockets, for TCP and for UNIX sockets."""
    for listening in (*bind_stream("127.0.0.1", 0), *bind_unix(f"{tmp_path}/socket")):
        with listening:
            assert type(listening) is StreamSocket


async def test_the_sockets_of_a_connection() -> None:
    """Both ends of a connection use such sockets."""
    async with (
        broker.serve(broker.Root(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as client,
    ):
        while not server.connections:
            await asyncio.sleep(0)
        for connection in (client, *server.connections):
            sock = connection.root.broker.transport._socket()
            assert type(sock.family) is int
