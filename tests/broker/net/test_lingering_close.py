"""A lingering close on real sockets: all that was written arrives, and the end comes in time."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from broker.errors import ConnectionAborted, ConnectionDone
from broker.net import transports
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.transport_port import LINGER_SIZE

MEBIBYTE = 1 << 20


@pytest.fixture(params=["tcp", "tls"])
def connected(request, factory, recorder, server_tls, client_tls):
    """Return a coroutine function that joins two recorders, over TCP and over TLS."""
    is_tls = request.param == "tls"

    async def join() -> tuple[Any, Any]:
        servers, client = factory(), recorder()
        tls = server_tls if is_tls else None
        listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=tls)
        port = listener.addresses[0].port
        tls = client_tls if is_tls else None
        await connect_stream(lambda peer: client, "127.0.0.1", port, tls=tls)
        server = await servers.next()
        listener.close()
        return client, server

    return join


async def test_bytes_that_cross_the_close(each_loop, connected) -> None:
    """All bytes of the end that leaves arrive, though the other end has sent some that are lost."""
    client, server = await connected()
    server.transport.pause_reading()
    client.transport.write(bytes(LINGER_SIZE))
    server.transport.write(b"goodbye")
    server.transport.leave(at_once=True)
    server.transport.write(b"too late")
    assert type(await client.lost()) is ConnectionDone
    assert client.data == b"goodbye"
    assert type(await server.lost()) is ConnectionAborted
    assert server.data == b""
    assert server.lost_calls == client.lost_calls == 1


async def test_a_slow_reader(each_loop, connected, monkeypatch) -> None:
    """The time of the peer begins when the last byte was sent."""
    monkeypatch.setattr(transports, "LINGER_TIME", 0.05)
    client, server = await connected()
    client.transport.pause_reading()
    server.transport.write(bytes(16 * MEBIBYTE))
    server.transport.leave()
    await asyncio.sleep(0.2)
    assert server.reason is None
    client.transport.resume_reading()
    assert type(await client.lost()) is ConnectionDone
    assert len(client.data) == 16 * MEBIBYTE
    assert type(await server.lost()) is ConnectionDone


async def test_who_does_not_read_at_once(each_loop, connected, monkeypatch) -> None:
    """With ``at_once`` the unsent bytes have that time, too; then they are lost."""
    monkeypatch.setattr(transports, "LINGER_TIME", 0.05)
    client, server = await connected()
    client.transport.pause_reading()
    server.transport.write(bytes(16 * MEBIBYTE))
    server.transport.leave(at_once=True)
    assert type(await server.lost()) is ConnectionAborted
    client.transport.resume_reading()
    await client.lost()
    assert len(client.data) < 16 * MEBIBYTE


async def test_who_goes_on_writing(each_loop, connected, monkeypatch) -> None:
    """More bytes than are dropped end the connection, before the time is over."""
    monkeypatch.setattr(transports, "LINGER_TIME", 1000)
    client, server = await connected()
    client.transport.pause_reading()
    server.transport.leave()
    client.transport.write(bytes(16 * MEBIBYTE))
    assert type(await server.lost()) is ConnectionDone
    client.transport.resume_reading()
    await client.lost()


async def test_a_producer(each_loop, connected) -> None:
    """What a producer writes until it is unregistered is sent; ``at_once`` does not wait."""
    for at_once in (False, True):
        client, server = await connected()
        server.transport.registerProducer(Idle(), True)
        server.transport.leave(at_once=at_once)
        server.transport.write(b"last")
        if not at_once:
            server.transport.unregisterProducer()
        await client.lost()
        await server.lost()
        assert client.data == (b"" if at_once else b"last")


async def test_leaving_again(each_loop, connected) -> None:
    """A second ``leave`` changes nothing; with ``at_once`` it cuts a close that waits."""
    client, server = await connected()
    client.transport.pause_reading()
    server.transport.write(b"goodbye")
    server.transport.leave()
    server.transport.leave()
    client.transport.resume_reading()
    assert type(await client.lost()) is ConnectionDone
    await server.lost()
    server.transport.leave(at_once=True)
    assert (client.data, server.lost_calls) == (b"goodbye", 1)
    client, server = await connected()
    client.transport.pause_reading()
    server.transport.write(bytes(16 * MEBIBYTE))
    server.transport.leave()
    server.transport.leave(at_once=True)
    assert type(await server.lost()) is ConnectionAborted
    client.transport.abortConnection()
    await client.lost()


@pytest.mark.parametrize("at_once", [False, True])
async def test_leaving_who_has_cut_the_connection(each_loop, factory, at_once) -> None:
    """A reset that is not noticed yet ends the connection; closing its half fails."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    sock = socket.create_connection(("127.0.0.1", listener.addresses[0].port))
    server = await servers.next()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    server.transport.write(b"goodbye")
    server.transport.leave(at_once=at_once)
    await server.lost()
    assert server.lost_calls == 1
    listener.close()


async def test_leaving_before_the_handshake(each_loop, factory, server_tls) -> None:
    """Without TLS nothing can be said: the connection is cut."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server_tls)
    with socket.create_connection(("127.0.0.1", listener.addresses[0].port)):
        server = await servers.next()
        server.transport.leave(at_once=True)
        assert type(await server.lost()) is ConnectionAborted
    listener.close()


class Idle:
    """A push producer that writes nothing."""

    def pauseProducing(self) -> None:
        """Do nothing."""

    def resumeProducing(self) -> None:
        """Do nothing."""

    def stopProducing(self) -> None:
        """Do nothing."""
