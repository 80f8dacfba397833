"""A stream through TLS on real sockets: data, close, and each way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from OpenSSL import SSL, crypto
from support.tls_sockets import raw_server

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost, TLSError
from broker.net import transports
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.tls.filter import TLSFilter
from broker.net.transports import HIGH_WATER

MEBIBYTE = 1 << 20


@pytest.fixture
def connected(factory, recorder, server_tls, client_tls):
    """Return a coroutine function that joins two recorders over TLS."""

    async def join(*, server=server_tls, client=client_tls, **kw):
        servers = factory()
        listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server, **kw)
        port = listener.addresses[0].port
        ours = recorder()
        await connect_stream(lambda peer: ours, "127.0.0.1", port, tls=client, **kw)
        theirs = await servers.next()
        listener.close()
        return ours, theirs

    return join


async def raw_peer(factory, server_tls, client_tls, **kw):
    """Join a recorder behind a TLS port with a filter on a socket, driven by the test."""
    sock, server = await raw_server(factory, server_tls, **kw)
    link = client_tls.filter("localhost")
    while not link.is_open:
        sock.sendall(link.data_to_send())
        link.receive(await asyncio.to_thread(sock.recv, 65536))
    sock.sendall(link.data_to_send())
    await asyncio.wait_for(server.transport.wait_secured(), 10)
    return sock, link, server


async def test_bytes_both_ways(each_loop, connected, pair) -> None:
    """Bytes arrive at the other end complete and in order."""
    client, server = await connected()
    up, down = bytes(range(256)) * 16384, b"down" * MEBIBYTE
    client.transport.write(up)
    server.transport.writeSequence([b"down"] * MEBIBYTE)
    assert await server.received(len(up)) == up
    assert await client.received(len(down)) == down
    assert (client.transport.is_secure, server.transport.is_secure) == (True, True)
    assert client.transport.peer_certificate == pair.certificate
    assert server.transport.peer_certificate is None
    shown = client.transport.getPeerCertificate()
    assert isinstance(shown, crypto.X509)
    assert shown.to_cryptography() == pair.certificate
    assert server.transport.getPeerCertificate() is None
    assert client.transport.verified_chain()[0] == pair.certificate
    assert server.transport.verified_chain() == ()
    assert client.transport.channel_binding() == server.transport.channel_binding()
    assert len(client.transport.channel_binding()) == 32
    client.transport.loseConnection()
    await server.lost()
    assert type(await client.lost()) is ConnectionDone
    assert (client.transport.verified_chain(), client.transport.channel_binding()) == ((), None)


async def test_the_buffers_after_much_data(each_loop, connected) -> None:
    """After a megabyte each way both ends exchange OpenSSL's buffers, and bytes still pass."""
    ends = await connected()
    connections = [end.transport._source._filters[0]._connection for end in ends]
    before = [each._into_ssl for each in connections]
    for end in ends:
        end.transport.write(bytes(MEBIBYTE))
    for end in ends:
        await end.received(MEBIBYTE)
    while any(each._into_ssl == bio for each, bio in zip(connections, before, strict=True)):
        await asyncio.sleep(0.001)
    ends[0].transport.write(b"up")
    ends[1].transport.write(b"down")
    assert (await ends[0].received(MEBIBYTE + 4))[-4:] == b"down"
    assert (await ends[1].received(MEBIBYTE + 2))[-2:] == b"up"
    ends[0].transport.loseConnection()
    for end in ends:
        assert type(await end.lost()) is ConnectionDone


async def test_lose_connection_flushes(each_loop, connected) -> None:
    """loseConnection sends all 8 MiB written before, then closes cleanly on both sides."""
    client, server = await connected()
    client.transport.write(bytes(8 * MEBIBYTE))
    client.transport.loseConnection()
    client.transport.write(b"too late")
    assert type(await server.lost()) is ConnectionDone
    assert len(server.data) == 8 * MEBIBYTE
    assert type(await client.lost()) is ConnectionDone
    assert (client.lost_calls, server.lost_calls) == (1, 1)


async def test_writes_before_the_handshake(
    each_loop, factory, recorder, server_tls, client_tls
) -> None:
    """Writes in makeConnection, and a loseConnection there, take effect after the handshake."""

    class Early(recorder):
        def makeConnection(self, transport):
            super().makeConnection(transport)
            assert not transport.is_secure
            transport.write(bytes(HIGH_WATER) + b"early")
            assert transport.unsent >= HIGH_WATER + 5
            transport.loseConnection()

    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server_tls)
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: Early(), "localhost", port, tls=client_tls)
    server = await servers.next()
    assert type(await server.lost()) is ConnectionDone
    assert server.data == bytes(HIGH_WATER) + b"early"
    assert type(await transport.protocol.lost()) is ConnectionDone
    listener.close()


async def test_producer_before_the_handshake(
    each_loop, factory, recorder, server_tls, client_tls
) -> None:
    """Bytes that wait for the handshake count as unsent: a producer is paused, then resumed."""
    calls = []

    class Early(recorder):
        def makeConnection(self, transport):
            super().makeConnection(transport)
            transport.registerProducer(self, True)
            transport.write(bytes(HIGH_WATER + 1))

        def pauseProducing(self):
            calls.append("pause")

        def resumeProducing(self):
            calls.append("resume")
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server_tls)
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: Early(), "localhost", port, tls=client_tls)
    assert type(await transport.protocol.lost()) is ConnectionDone
    await (await servers.next()).lost()
    listener.close()
    assert calls == ["pause", "resume"]


async def test_paused_from_the_start(each_loop, factory, recorder, server_tls, client_tls) -> None:
    """A protocol that pauses in makeConnection gets its handshake, and its data once it resumes."""

    class Paused(recorder):
        def makeConnection(self, transport):
            super().makeConnection(transport)
            transport.pauseProducing()

    servers = factory(Paused)
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=server_tls)
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: recorder(), "localhost", port, tls=client_tls)
    transport.write(b"data")
    server = await servers.next()
    await server.transport.wait_secured()
    server.transport.write(b"ping")
    await transport.protocol.received(4)
    assert server.data == b""
    assert not server.transport._source._source.is_reading()
    assert not server.transport.is_reading
    server.transport.resumeProducing()
    assert await server.received(4) == b"data"
    transport.loseConnection()
    await server.lost()
    listener.close()


async def test_peer_that_does_not_read(each_loop, connected) -> None:
    """A peer that does not read pauses the producer; reading again drains."""

    class Producer:
        paused = False

        def pauseProducing(self):
            self.paused = True

        def resumeProducing(self):
            self.paused = False

    client, server = await connected()
    server.transport.pauseProducing()
    producer = Producer()
    drained = asyncio.Event()
    client.transport.on_drained = drained.set
    client.transport.registerProducer(producer, True)
    while not producer.paused:
        client.transport.write(bytes(256 * 1024))
        await asyncio.sleep(0)
    server.transport.resumeProducing()
    await drained.wait()
    assert not producer.paused
    client.transport.unregisterProducer()
    client.transport.loseConnection()
    assert type(await server.lost()) is ConnectionDone


async def test_abort(each_loop, connected) -> None:
    """After an abort the peer does not see an orderly end."""
    client, server = await connected()
    client.transport.abortConnection()
    assert type(await client.lost()) is ConnectionAborted
    assert type(await server.lost()) is ConnectionLost


@pytest.mark.row("D-truncation")
async def test_cut_without_tls_close(each_loop, factory, server_tls, client_tls) -> None:
    """A TCP end without close_notify is an error, at either end."""
    sock, link, server = await raw_peer(factory, server_tls, client_tls)
    link.send(b"pay 10")
    sock.sendall(link.data_to_send())
    sock.shutdown(socket.SHUT_WR)
    assert str(await server.lost()) == "connection cut (no TLS close)"
    assert type(server.reason) is ConnectionLost
    assert server.data == b"pay 10"
    sock.close()


async def test_close_notify_is_seen_and_answered(
    each_loop, factory, server_tls, client_tls
) -> None:
    """A peer's close_notify ends the connection cleanly and is answered with ours."""
    sock, link, server = await raw_peer(factory, server_tls, client_tls)
    link.send(b"last words")
    link.close()
    sock.sendall(link.data_to_send())
    assert type(await server.lost()) is ConnectionDone
    assert server.data == b"last words"
    while not link.peer_closed:
        link.receive(await asyncio.to_thread(sock.recv, 65536))
    sock.close()


async def test_our_close_is_written_before_tcp_ends(
    each_loop, factory, server_tls, client_tls
) -> None:
    """loseConnection sends close_notify, and TCP ends once the peer has answered."""
    sock, link, server = await raw_peer(factory, server_tls, client_tls)
    server.transport.pauseProducing()
    server.transport.loseConnection()
    while not link.peer_closed:
        link.receive(await asyncio.to_thread(sock.recv, 65536))
    assert server.reason is None
    link.send(b"nobody listens")
    link.close()
    sock.sendall(link.data_to_send())
    assert type(await server.lost()) is ConnectionDone
    assert server.data == b""
    sock.close()


async def test_peer_that_ends_tcp_after_our_close(
    each_loop, factory, server_tls, client_tls
) -> None:
    """After our close_notify, a peer may end TCP without its own."""
    sock, _, server = await raw_peer(factory, server_tls, client_tls)
    server.transport.loseConnection()
    sock.shutdown(socket.SHUT_WR)
    assert type(await server.lost()) is ConnectionDone
    sock.close()


@pytest.mark.row("D-truncation")
async def test_peer_that_never_answers_our_close(
    each_loop, factory, server_tls, client_tls
) -> None:
    """A peer that does not answer the close is disconnected after close_timeout."""
    sock, _, server = await raw_peer(factory, server_tls, client_tls, close_timeout=0.05)
    server.transport.pauseProducing()
    server.transport.loseConnection()
    assert str(await server.lost()) == "no TLS close from the peer in 0.05 s"
    sock.close()


async def test_close_timeout_begins_with_the_last_byte(
    each_loop, factory, server_tls, client_tls
) -> None:
    """A peer that reads all and does not answer is disconnected after close_timeout."""
    sock, _, server = await raw_peer(factory, server_tls, client_tls, close_timeout=0.05)
    server.transport.write(bytes(16 * MEBIBYTE))
    server.transport.loseConnection()
    count = 0
    while server.reason is None:
        with contextlib.suppress(ConnectionResetError):
            count += len(await asyncio.to_thread(sock.recv, MEBIBYTE))
    assert str(server.reason) == "no TLS close from the peer in 0.05 s"
    assert count > 16 * MEBIBYTE
    sock.close()


async def test_peer_that_stalls_the_close(
    each_loop, factory, server_tls, client_tls, monkeypatch
) -> None:
    """A closing peer that reads nothing is disconnected, by another limit than close_timeout."""
    monkeypatch.setattr(transports, "STALL", 0.1)

    sock, _, server = await raw_peer(factory, server_tls, client_tls, close_timeout=0.01)
    server.transport.write(bytes(32 * MEBIBYTE))
    server.transport.loseConnection()
    assert str(await server.lost()) == "the peer took nothing for 0.1 s"
    sock.close()


@pytest.mark.row("D-tampered")
async def test_corrupted_record(each_loop, factory, server_tls, client_tls, caplog) -> None:
    """A changed byte ends the connection; the peer gets the alert, not only a reset."""
    sock, link, server = await raw_peer(factory, server_tls, client_tls)
    link.send(b"good")
    good = link.data_to_send()
    link.send(b"bad")
    bad = bytearray(link.data_to_send())
    bad[-1] ^= 1
    sock.sendall(good + bytes(bad))
    assert str(await server.lost()) == "TLS record corrupted"
    assert server.data == b"good"
    sock.sendall(bytes(100_000))
    with pytest.raises(TLSError, match="bad record mac"):
        link.receive(await asyncio.to_thread(sock.recv, 65536))
    sock.close()
    assert caplog.records[0].getMessage().endswith(": TLS record corrupted")


async def test_text_is_refused(each_loop, connected) -> None:
    """A transport takes bytes, with TLS too."""
    client, server = await connected()
    with pytest.raises(TypeError):
        client.transport.write("text")
    client.transport.loseConnection()
    await server.lost()


async def test_contexts_of_the_application(each_loop, factory, recorder, pair) -> None:
    """Contexts of the application work through make_filters."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.key)

    servers = factory()
    listener = start_accepting(
        bind_stream("127.0.0.1", 0),
        servers,
        make_filters=lambda: [TLSFilter.from_context(context, server=True)],
    )
    transport = await connect_stream(
        lambda peer: recorder(),
        "127.0.0.1",
        listener.addresses[0].port,
        make_filters=lambda: [
            TLSFilter.from_context(SSL.Context(SSL.TLS_CLIENT_METHOD), server=False)
        ],
    )
    transport.write(b"hello")
    assert await (await servers.next()).received(5) == b"hello"
    transport.loseConnection()
    await transport.protocol.lost()
    listener.close()
