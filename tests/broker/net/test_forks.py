"""Forks, and other copies of a connection's descriptor: the peer sees the end anyway."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvloop

import broker
from broker.core.policy import STRICT
from broker.errors import ConnectionDone, ConnectionLost
from broker.net import forks
from broker.net.pipes.transport import PipePair
from broker.net.socket_addresses import PipeAddress
from broker.net.sockets import (
    bind_stream,
    bind_unix,
    connect_stream,
    connect_unix,
    start_accepting,
)
from broker.net.transports import StreamTransport

KINDS = ["tcp", "tls", "unix"]


@pytest.fixture
def join(factory, recorder, server_tls, client_tls, tmp_path) -> Callable[[str], Any]:
    """Return a coroutine function that joins two recorders over a kind of transport."""

    async def joined(kind: str) -> tuple[Any, Any]:
        servers = factory()
        client = recorder()
        if kind == "unix":
            path = str(tmp_path / "socket")
            listener = start_accepting(bind_unix(path), servers)
            await connect_unix(lambda peer: client, path)
        else:
            ours, theirs = (client_tls, server_tls) if kind == "tls" else (None, None)
            listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=theirs)
            port = listener.addresses[0].port
            await connect_stream(lambda peer: client, "127.0.0.1", port, tls=ours)
        server = await servers.next()
        await server.transport.wait_secured()
        listener.close()
        return client, server

    return joined


@contextmanager
def copied(transport: Any) -> Iterator[int]:
    """Keep a copy of a transport's descriptor open, as a child process may."""
    copy = os.dup(transport._socket().fileno())
    try:
        yield copy
    finally:
        os.close(copy)


@contextmanager
def forked(in_child: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Fork a child, which runs a function and then stays alive until the block ends.

    Its exceptions are raised here.
    """
    told, tell = os.pipe()
    done, stay = os.pipe()
    number = os.fork()
    if number == 0:
        status = 1
        try:
            os.close(stay)
            in_child()
            os.write(tell, b"done")
            os.read(done, 1)
            status = 0
        except BaseException as exc:
            os.write(tell, repr(exc).encode())
        finally:
            os._exit(status)
    os.close(done)
    os.close(tell)
    try:
        said = os.read(told, 4096)
        assert said == b"done", said
        yield
    finally:
        os.close(stay)
        os.close(told)
        os.waitpid(number, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_close_with_a_copy(each_loop, join, kind: str) -> None:
    """A closed connection ends in good order for the peer, though a descriptor is still open."""
    client, server = await join(kind)
    with copied(server.transport):
        server.transport.write(b"bye")
        server.transport.loseConnection()
        assert type(await client.lost()) is ConnectionDone
        assert bytes(client.data) == b"bye"
        assert type(await server.lost()) is ConnectionDone


@pytest.mark.parametrize("kind", KINDS if sys.platform == "linux" else ["unix"])
async def test_abort_with_a_copy(each_loop, join, kind: str) -> None:
    """An aborted connection ends at the peer, over TCP by a reset, though a copy is open."""
    client, server = await join(kind)
    with copied(server.transport):
        server.transport.abortConnection()
        reason = await client.lost()
        assert type(reason) is (ConnectionDone if kind == "unix" else ConnectionLost)
        if kind == "tcp":
            assert str(reason) == "the peer cut the connection"


async def test_refused_with_a_copy(each_loop, recorder) -> None:
    """A refused connection ends for the peer, though a descriptor is still open."""
    copies: list[int] = []

    def refuse(peer: Any) -> None:
        copies.extend(os.dup(number) for number in _sockets_to(peer.port))

    listener = start_accepting(bind_stream("127.0.0.1", 0), refuse)
    client = recorder()
    try:
        await connect_stream(lambda peer: client, "127.0.0.1", listener.addresses[0].port)
        await client.lost()
        listener.close()
        assert copies
    finally:
        for number in copies:
            os.close(number)


def _sockets_to(port: int) -> list[int]:
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as sock:
                if sock.getpeername()[1] == port:
                    found.append(int(name))
        except (OSError, IndexError, TypeError):
            continue
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_abort", [False, True])
async def test_after_a_fork(each_loop, join, kind: str, is_abort: bool) -> None:
    """With a child that was forked before, a closed or aborted connection ends for the peer."""
    client, server = await join(kind)
    with forked():
        if is_abort:
            server.transport.abortConnection()
        else:
            server.transport.loseConnection()
        await client.lost()
        await server.lost()


@pytest.mark.parametrize("kind", KINDS)
async def test_in_the_child(each_loop, join, kind: str) -> None:
    """A write in a child raises RuntimeError; a close or abort does not affect the parent."""
    client, server = await join(kind)
    transport = client.transport

    def use() -> None:
        with pytest.raises(RuntimeError, match="this process was forked after"):
            transport.write(b"x")
        assert forks.is_inherited(transport)
        assert not transport.connected
        assert transport.getHost() == server.transport.getPeer()
        assert not transport.getTcpNoDelay()
        transport.loseConnection()
        transport.abortConnection()

    with forked(use):
        transport.write(b"from the parent")
        assert await server.received(15) == b"from the parent"
        assert not forks.is_inherited(transport)
        client.transport.loseConnection()
        assert type(await server.lost()) is ConnectionDone


async def test_the_child_keeps_nothing(each_loop, join) -> None:
    """The child has no copy of the socket left, so a parent that is killed ends the connection."""
    client, server = await join("tcp")
    number = client.transport._socket().fileno()

    def look() -> None:
        assert os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev

    with forked(look):
        pass
    client.transport.abortConnection()
    await server.lost()


async def test_pipes(each_loop, recorder) -> None:
    """The other end of a pipe sees the end though a child was forked; the child cannot write."""
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    ours = recorder()
    loop = asyncio.get_running_loop()
    transport = StreamTransport(lambda address: ours, loop)
    PipePair(loop, transport.receiver, our_in, our_out, PipeAddress()).start()

    def use() -> None:
        os.close(their_in)
        os.close(their_out)
        with pytest.raises(RuntimeError, match="this process was forked after"):
            transport.write(b"x")

    with forked(use):
        transport.write(b"bye")
        transport.loseConnection()
        await ours.lost()
        assert os.read(their_in, 10) == b"bye"
        assert os.read(their_in, 10) == b""
    os.close(their_in)
    os.close(their_out)


class Echo(broker.Root):
    """Answers."""

    def remote_echo(self, value: Any) -> Any:
        """Return the argument."""
        return value


@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_a_reference_in_the_child(dialect: str) -> None:
    """A call, a send and a close in a child raise RuntimeError, also in its own loop."""
    policy = STRICT.but(dialects=(dialect,))
    async with broker.serve(Echo(), "pb://127.0.0.1:0", policy=policy) as server:
        connection = await broker.connect(server.addresses[0], policy=policy)
        root = connection.root

        async def use_in_a_loop() -> None:
            with pytest.raises(RuntimeError, match="connect in the child"):
                await root.callRemote("echo", 1)
            with pytest.raises(RuntimeError, match="connect in the child"):
                await connection.close()

        def use() -> None:
            asyncio.events._set_running_loop(None)
            for run in (asyncio.run, uvloop.run):
                run(use_in_a_loop())

        with forked(use):
            assert await root.callRemote("echo", 2) == 2
            await connection.close()


async def test_the_child_can_connect() -> None:
    """A child can make its own connection, and does not affect the connections of the parent."""

    async def _ask(address: str) -> None:
        async with broker.connect(address) as connection:
            assert await connection.root.callRemote("echo", 4) == 4

    async with (
        broker.serve(Echo(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        answers: asyncio.Queue[int] = asyncio.Queue()
        told, tell = os.pipe()
        asyncio.get_running_loop().add_reader(
            told, lambda: answers.put_nowait(len(os.read(told, 1)))
        )
        number = os.fork()
        if number == 0:
            status = 1
            try:
                asyncio.events._set_running_loop(None)
                asyncio.run(_ask(server.addresses[0]))
                os.write(tell, b"1")
                status = 0
            finally:
                os._exit(status)
        os.close(tell)
        # The child first reads the answer of the parent, so both loops must run.
        assert await answers.get() == 1
        asyncio.get_running_loop().remove_reader(told)
        os.close(told)
        assert os.waitpid(number, 0)[1] == 0
        assert await connection.root.callRemote("echo", 3) == 3
