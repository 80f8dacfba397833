"""A stream through TLS on real sockets: each way in which a handshake fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest
from support.tls_sockets import raw_server

from broker.errors import ConnectionAborted, ConnectionDone, TLSError
from broker.net import sockets
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.tls.settings import TLS

MEBIBYTE = 1 << 20


@pytest.mark.row("D-plain")
async def test_plain_bytes_on_a_tls_port(each_loop, factory, server_tls, caplog) -> None:
    """The server logs one line about a peer that is not speaking TLS; the protocol sees no byte."""
    sock, server = await raw_server(factory, server_tls)
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert str(await server.lost()) == "peer is not speaking TLS"
    assert type(server.reason) is TLSError
    assert server.data == b""
    sock.close()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("broker.net", logging.WARNING)
    assert record.getMessage().startswith("127.0.0.1:")
    assert record.getMessage().endswith(": peer is not speaking TLS")


@pytest.mark.row("D-plain")
async def test_tls_on_a_plain_port(each_loop, factory, recorder, client_tls, caplog) -> None:
    """A TLS client of a plain server learns it from the server's first bytes."""

    class Greeting(recorder):
        def makeConnection(self, transport):
            super().makeConnection(transport)
            transport.write(b"hello")

    servers = factory(Greeting)
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers)
    client = recorder()
    with pytest.raises(TLSError, match=r"^server is not speaking TLS$"):
        await connect_stream(
            lambda peer: client, "127.0.0.1", listener.addresses[0].port, tls=client_tls
        )
    assert str(await client.lost()) == "server is not speaking TLS"
    await (await servers.next()).lost()
    listener.close()
    assert caplog.records == []


@pytest.mark.row("D-plain")
async def test_a_plain_peer_that_stays(each_loop, recorder, client_tls, monkeypatch) -> None:
    """The socket is closed when the error is raised, even if the peer keeps its end open."""
    monkeypatch.setattr(sockets, "LINGER_TIME", 0.01)
    listener = socket.create_server(("127.0.0.1", 0))
    client = recorder()
    connecting = asyncio.ensure_future(
        connect_stream(lambda peer: client, *listener.getsockname(), tls=client_tls)
    )
    peer, _ = await asyncio.to_thread(listener.accept)
    peer.sendall(b"hello")
    with pytest.raises(TLSError, match=r"^server is not speaking TLS$"):
        await connecting
    assert client.transport.has_ended
    peer.close()
    listener.close()


@pytest.mark.row("D-host")
async def test_wrong_host(each_loop, factory, recorder, server_tls, authority, caplog) -> None:
    """A client refuses a server with another name, before its protocol has seen a byte."""
    other = authority.issue(["broker.example"])
    tls = TLS.server(other.certificate_path, other.key_path)
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=tls)
    client = recorder()
    with pytest.raises(TLSError, match=r"^certificate is for broker\.example, not 127\.0\.0\.1$"):
        await connect_stream(
            lambda peer: client,
            "127.0.0.1",
            listener.addresses[0].port,
            tls=TLS.client(ca=authority.ca_path),
        )
    # The program may end now, with its loop.
    assert client.transport.has_ended
    server = await servers.next()
    assert "peer refused the connection" in str(await server.lost())
    await client.lost()
    assert client.data == b""
    listener.close()


@pytest.mark.row("D-client")
async def test_client_certificate_required(
    each_loop, factory, recorder, authority, pair, client_tls
) -> None:
    """In TLS 1.3 the refusal comes after the handshake, and reaches a client that is writing."""
    tls = TLS.server(pair.certificate_path, pair.key_path, client_ca=authority.ca_path)
    servers = factory()
    listener = start_accepting(bind_stream("127.0.0.1", 0), servers, tls=tls)
    client = recorder()
    port = listener.addresses[0].port
    transport = await connect_stream(lambda peer: client, "127.0.0.1", port, tls=client_tls)
    while client.reason is None:
        transport.write(bytes(100_000))
        await asyncio.sleep(0)
    assert str(client.reason) == "server requires a client certificate"
    server = await servers.next()
    assert str(await server.lost()) == "client has shown no certificate"
    assert server.data == b""
    listener.close()


@pytest.mark.row("D-handshake")
async def test_handshake_timeout(each_loop, factory, server_tls, caplog) -> None:
    """A peer that connects and sends nothing is disconnected."""
    sock, server = await raw_server(factory, server_tls, handshake_timeout=0.05)
    lost = await server.lost()
    assert (str(lost), lost.limit) == (
        "TLS handshake not completed in 0.05 s",
        "handshake_timeout",
    )
    assert await asyncio.to_thread(sock.recv, 10) == b""
    sock.close()


@pytest.mark.row("D-handshake")
async def test_client_handshake_timeout(each_loop, recorder, client_tls) -> None:
    """A server that accepts TCP and sends nothing ends the attempt."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(TLSError, match=r"^TLS handshake not completed in 0\.05 s$"),
    ):
        await connect_stream(
            lambda peer: recorder(),
            "127.0.0.1",
            silent.getsockname()[1],
            tls=client_tls,
            handshake_timeout=0.05,
        )


@pytest.mark.parametrize("how", [socket.SHUT_WR, None])
async def test_peer_that_leaves_during_the_handshake(each_loop, factory, server_tls, how) -> None:
    """A peer that closes before the handshake is done is a TLS error."""
    sock, server = await raw_server(factory, server_tls)
    sock.sendall(b"\x16\3\1")
    if how is not None:
        sock.shutdown(how)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    assert "during the TLS handshake" in str(await server.lost())
    assert type(server.reason) is TLSError
    with pytest.raises(TLSError):
        await server.transport.wait_secured()
    sock.close()


async def test_lose_connection_during_the_handshake(each_loop, factory, server_tls) -> None:
    """With nothing written there is no handshake to wait for."""
    sock, server = await raw_server(factory, server_tls)
    server.transport.loseConnection()
    assert type(await server.lost()) is ConnectionDone
    sock.close()


async def test_cancelled_connect(each_loop, recorder, client_tls) -> None:
    """Cancelling a connect in the middle of its handshake closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = recorder()
        port = silent.getsockname()[1]
        task = asyncio.create_task(
            connect_stream(lambda peer: client, "127.0.0.1", port, tls=client_tls)
        )
        await client.until(lambda: client.transport is not None)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert type(await client.lost()) is ConnectionAborted
    # A future whose exception was not retrieved would be logged now.
    gc.collect()
