"""A plain stream on real sockets: data, flow control, and each way to end."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import pytest

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.net import transports
from broker.net.read_buffer import scratch
from broker.net.scheduler import LoopScheduler, scheduler_for
from broker.net.socket_addresses import IPv4Address
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.transports import HIGH_WATER

MEBIBYTE = 1 << 20


@pytest.fixture
def connected(factory, recorder):
    """Return a coroutine function that joins two recorders; the listener is closed at once."""

    async def join(**kw):
        servers = factory()
        listener = start_accepting(bind_stream("127.0.0.1", 0), servers, **kw)
        client = recorder()
        port = listener.addresses[0].port
        await connect_stream(lambda peer: client, "127.0.0.1", port)
        server = await servers.next()
        listener.close()
        return client, server

    return join


async def raw_connection(factory):
    """Join a recorder, as the server, with a plain blocking socket."""
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    sock = socket.create_connection(("127.0.0.1", listener.addresses[0].port))
    server = await servers.next()
    listener.close()
    return sock, server


async def test_bytes_both_ways(each_loop, connected) -> None:
    """Bytes arrive at the other end complete and in order."""
    client, server = await connected()
    up, down = bytes(range(256)) * 32768, b"down" * MEBIBYTE
    client.transport.write(up)
    server.transport.writeSequence([b"down"] * MEBIBYTE)
    assert await server.received(len(up)) == up
    assert await client.received(len(down)) == down
    assert client.transport.connected
    client.transport.loseConnection()
    await server.lost()


async def test_lose_connection_flushes(each_loop, connected) -> None:
    """loseConnection sends all 8 MiB written before, then closes cleanly on both sides."""
    client, server = await connected()
    client.transport.write(bytes(8 * MEBIBYTE))
    assert client.transport.unsent > 0
    client.transport.loseConnection()
    assert client.transport.disconnecting
    client.transport.write(b"too late")
    assert type(await server.lost()) is ConnectionDone
    assert len(server.data) == 8 * MEBIBYTE
    assert type(await client.lost()) is ConnectionDone
    assert (client.lost_calls, client.transport.connected) == (1, False)


async def test_abort(each_loop, connected) -> None:
    """abortConnection drops unsent bytes; the peer cannot take it for an orderly end."""
    client, server = await connected()
    assert server.transport.is_reading
    server.transport.pauseProducing()
    assert not server.transport.is_reading
    client.transport.write(bytes(32 * MEBIBYTE))
    client.transport.abortConnection()
    assert client.reason is None
    assert type(await client.lost()) is ConnectionAborted
    server.transport.resumeProducing()
    assert str(await server.lost()) == "the peer cut the connection"
    assert type(server.reason) is ConnectionLost
    assert len(server.data) < 32 * MEBIBYTE
    client.transport.abortConnection()
    client.transport.loseConnection()
    assert client.lost_calls == 1


async def test_abort_while_closing(each_loop, connected) -> None:
    """A close that waits for a peer that does not read can be aborted."""
    client, server = await connected()
    server.transport.pauseProducing()
    client.transport.write(bytes(32 * MEBIBYTE))
    client.transport.loseConnection()
    client.transport.abortConnection()
    assert type(await client.lost()) is ConnectionAborted
    server.transport.abortConnection()
    await server.lost()


async def test_peer_that_stalls_the_close(each_loop, connected, monkeypatch) -> None:
    """A closing connection whose peer takes nothing is cut off."""
    monkeypatch.setattr(transports, "STALL", 0.05)

    client, server = await connected()
    server.transport.pauseProducing()
    client.transport.write(bytes(32 * MEBIBYTE))
    client.transport.loseConnection()
    assert str(await client.lost()) == "the peer took nothing for 0.05 s"
    server.transport.abortConnection()
    await server.lost()


async def test_nothing_is_delivered_after_lose_connection(each_loop, factory) -> None:
    """After loseConnection no data is delivered."""
    sock, server = await raw_connection(factory)
    sock.sendall(b"heard")
    await server.received(5)
    server.transport.registerProducer(Producer(), True)
    server.transport.loseConnection()
    sock.sendall(b"unheard")
    sock.shutdown(socket.SHUT_WR)
    assert type(await server.lost()) is ConnectionDone
    assert server.data == b"heard"
    sock.close()


async def test_half_close_is_a_close(each_loop, factory) -> None:
    """A peer that closes its half still gets the written bytes, then the connection ends."""
    sock, server = await raw_connection(factory)
    server.transport.write(b"answer")
    sock.shutdown(socket.SHUT_WR)
    assert type(await server.lost()) is ConnectionDone
    assert sock.recv(100) == b"answer"
    assert sock.recv(100) == b""
    sock.close()


async def test_reset(each_loop, factory) -> None:
    """A reset by the peer is a lost connection."""
    sock, server = await raw_connection(factory)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert str(await server.lost()) == "the peer cut the connection"


class Producer:
    """Counts calls; a pull producer writes when asked."""

    def __init__(self, transport=None, chunks: int = 0) -> None:
        self.transport = transport
        self.chunks = chunks
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        """Count."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Count, and write a chunk while there is one."""
        self.calls.append("resume")
        if self.chunks:
            self.chunks -= 1
            self.transport.write(bytes(32 * 1024))
            if not self.chunks:
                self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """Count."""
        self.calls.append("stop")


async def test_push_producer(each_loop, connected) -> None:
    """A peer that does not read pauses the producer; reading again resumes it."""
    client, server = await connected()
    server.transport.pauseProducing()
    producer = Producer()
    drained = asyncio.Event()
    client.transport.on_drained = drained.set
    client.transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError):
        client.transport.registerProducer(Producer(), True)
    written = 0
    while producer.calls != ["pause"]:
        client.transport.write(bytes(256 * 1024))
        written += 256 * 1024
        await asyncio.sleep(0)
    assert client.transport.unsent > HIGH_WATER
    assert not drained.is_set()
    server.transport.resumeProducing()
    await drained.wait()
    assert client.transport.unsent <= HIGH_WATER // 4
    assert producer.calls == ["pause", "resume"]
    client.transport.loseConnection()
    await server.received(written)
    assert client.reason is None
    client.transport.unregisterProducer()
    assert type(await client.lost()) is ConnectionDone
    assert producer.calls == ["pause", "resume"]


async def test_producer_registered_on_a_full_transport(each_loop, connected) -> None:
    """A producer that is registered while too much is unsent is paused at once."""
    client, server = await connected()
    server.transport.pauseProducing()
    client.transport.write(bytes(32 * MEBIBYTE))
    producer = Producer()
    client.transport.registerProducer(producer, True)
    assert producer.calls == ["pause"]
    # As if much had been written again before the call of the loop.
    client.transport.resume_writing()
    await asyncio.sleep(0)
    assert producer.calls == ["pause"]
    client.transport.abortConnection()
    await client.lost()
    assert producer.calls == ["pause", "stop"]
    late = Producer()
    client.transport.registerProducer(late, True)
    assert late.calls == ["stop"]
    server.transport.abortConnection()
    await server.lost()


async def test_pull_producer(each_loop, connected) -> None:
    """A pull producer is asked once for each chunk, whenever all bytes are sent."""
    client, server = await connected()
    server.transport.pauseProducing()
    producer = Producer(client.transport, chunks=400)
    client.transport.registerProducer(producer, False)
    while not client.transport.unsent:
        await asyncio.sleep(0)
    server.transport.resumeProducing()
    client.transport.loseConnection()
    assert type(await server.lost()) is ConnectionDone
    assert len(server.data) == 400 * 32 * 1024
    assert producer.calls == ["resume"] * 400


async def test_pause_reading(each_loop, connected) -> None:
    """A paused transport delivers nothing until it is resumed."""
    client, server = await connected()
    client.transport.pauseProducing()
    server.transport.write(b"held back")
    server.transport.write(b" until now")
    client.transport.write(b"ping")
    await server.received(4)
    assert client.data == b""
    client.transport.resumeProducing()
    assert await client.received(19) == b"held back until now"
    client.transport.stopProducing()
    assert type(await server.lost()) is ConnectionDone


@pytest.mark.parametrize("is_cut", [False, True])
async def test_own_address_after_the_end(each_loop, connected, is_cut: bool) -> None:
    """The address of an end is known after its end, also if nobody has asked before."""
    client, server = await connected()
    if is_cut:
        client.transport.abortConnection()
    else:
        client.transport.loseConnection()
    await client.lost()
    await server.lost()
    assert client.transport.getHost() == server.transport.getPeer()
    assert server.transport.getHost() == client.transport.getPeer()
    assert client.transport.getHost().port > 0


async def test_what_a_transport_tells(each_loop, connected) -> None:
    """Addresses, options and scheduler are those of the socket; they outlive it."""
    client, server = await connected()
    transport = client.transport
    assert transport.getPeer() == server.transport.getHost()
    assert transport.getHost() == server.transport.getPeer()
    assert type(transport.getPeer()) is IPv4Address
    assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (True, False)
    assert server.transport.getTcpNoDelay()
    transport.setTcpNoDelay(False)
    transport.setTcpKeepAlive(True)
    assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (False, True)
    assert (transport.is_secure, transport.peer_certificate) == (False, None)
    # Programs that look for Twisted's TLS look for this.
    assert not hasattr(transport, "getPeerCertificate")
    assert type(scheduler_for(transport)) is LoopScheduler
    peer = transport.getPeer()
    transport.loseConnection()
    await client.lost()
    assert transport.getPeer() == peer
    assert transport.getTcpNoDelay() is False
    transport.setTcpNoDelay(True)
    await server.lost()


async def test_text_is_refused(each_loop, connected) -> None:
    """A transport takes bytes."""
    client, server = await connected()
    with pytest.raises(TypeError):
        client.transport.write("text")
    client.transport.loseConnection()
    await server.lost()


@pytest.mark.parametrize("kind", [ValueError, pytest.fail.Exception, asyncio.CancelledError])
async def test_protocol_that_raises(each_loop, factory, recorder, caplog, kind) -> None:
    """An exception of one connection's protocol is logged and ends that connection only."""

    class Raising(recorder):
        def dataReceived(self, data):
            if data == b"bad":
                raise kind("mine")
            super().dataReceived(data)

    servers = factory(Raising)
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    port = listener.addresses[0].port
    clients = []
    for _ in range(2):
        transport = await connect_stream(lambda peer: recorder(), "127.0.0.1", port)
        clients.append(transport.protocol)
    first, second = await servers.next(), await servers.next()
    clients[0].transport.write(b"bad")
    assert str(await first.lost()) == f"the protocol raised {kind.__name__}"
    assert type(first.reason) is ConnectionAborted
    assert type(await clients[0].lost()) is ConnectionLost
    clients[1].transport.write(b"good")
    assert await second.received(4) == b"good"
    clients[1].transport.loseConnection()
    await second.lost()
    listener.close()
    record = caplog.records[0]
    assert (record.name, record.levelno) == ("broker.net", logging.ERROR)
    assert "the protocol raised" in record.getMessage()


@pytest.mark.parametrize("method", ["makeConnection", "connectionLost"])
async def test_protocol_that_raises_at_the_ends(
    each_loop, factory, recorder, caplog, method
) -> None:
    """A protocol that raises when it gets or loses its connection does not affect others."""

    class Raising(recorder):
        pass

    def fail(self, argument):
        getattr(recorder, method)(self, argument)
        raise ValueError("mine")

    setattr(Raising, method, fail)

    servers = factory(Raising)
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    client = recorder()
    port = listener.addresses[0].port
    await connect_stream(lambda peer: client, "127.0.0.1", port)
    server = await servers.next()
    if method == "connectionLost":
        client.transport.loseConnection()
    await server.lost()
    await client.lost()
    listener.close()
    assert "raised" in caplog.records[0].getMessage()


async def test_loops_in_two_threads(each_loop, connected) -> None:
    """Each thread reads into its own buffer."""
    client, server = await connected()
    here = client.transport.get_buffer(-1)
    there = await asyncio.to_thread(client.transport.get_buffer, -1)
    assert here.obj is not there.obj
    assert here.obj is server.transport.get_buffer(-1).obj
    client.transport.loseConnection()
    await server.lost()


@pytest.mark.parametrize("reads_ahead", [True, False])
async def test_slices(factory, recorder, reads_ahead: bool) -> None:
    """A protocol gets at most 64 KiB at a time, also if four times as many are read at once.

    It may close the connection, or let a nested loop use the buffer, while the others wait.
    """

    class Reader(recorder):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        def makeConnection(self, transport: Any) -> None:
            """Allow it, or do not."""
            if reads_ahead:
                transport.reads_ahead = True
            super().makeConnection(transport)

        def dataReceived(self, data: bytes) -> None:
            """Note the size, and overwrite the buffer of the thread."""
            self.sizes.append(len(data))
            super().dataReceived(data)
            size = len(scratch.large)
            scratch.large[:] = bytes(size)
            if len(self.sizes) == 1:
                # As deep as it likes.
                assert [*map(len, scratch.slices(size))] == [65_536] * 4
            if len(self.data) >= len(sent):
                self.transport.loseConnection()

    readers = factory(Reader)
    listener = start_accepting(bind_stream("127.0.0.1", 0), readers)
    client = recorder()
    await connect_stream(lambda peer: client, "127.0.0.1", listener.addresses[0].port)
    reader = await readers.next()
    listener.close()
    sent = bytes(range(1, 251)) * 600
    transport = reader.transport
    size = len(transport.get_buffer(-1))
    assert size == (262_144 if reads_ahead else 65_536)
    if reads_ahead:
        transport.get_buffer(-1)[: len(sent)] = sent
        transport.buffer_updated(len(sent))
        assert reader.sizes == [65_536, 65_536, len(sent) - 131_072]
        # It has closed the connection.
        transport.buffer_updated(len(sent))
        assert len(reader.sizes) == 3
    else:
        client.transport.write(sent)
        await reader.received(len(sent))
        assert max(reader.sizes) <= 65_536
    assert reader.data == sent
    await client.lost()
