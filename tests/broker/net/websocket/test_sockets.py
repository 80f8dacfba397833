"""``ws://`` and ``wss://`` on real sockets: what each end does, and how each connection ends."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
import websockets.asyncio.client
from support.web_ends import PEER, frame, request, served

import broker
from broker.core.policy import STRICT
from broker.net import web_scheme
from broker.net.filtered_source import FilteredSource
from broker.net.schemes import WebPlace, parse_address
from broker.net.socket_addresses import IPv4Address
from broker.net.websocket import door
from broker.net.websocket.pages import Page

ADDRESS = "ws://127.0.0.1:0/pb"


class Echo(broker.Root):
    """Returns what it is given."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_peer(self) -> tuple[str, bool]:
        """Return who calls, and whether nobody else can read that."""
        connection = broker.current_call().connection
        return str(broker.current_call().peer.address), connection.broker.port.is_private


def port_of(server: broker.Server) -> int:
    """The port of a server."""
    place = parse_address(server.addresses[0])
    assert isinstance(place, WebPlace) and place.port is not None
    return place.port


async def opened(server: broker.Server, *, data: bytes = b"") -> Any:
    """Connect with a plain socket, and send bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(data)
    return reader, writer


async def test_wss(authority: Any, pair: Any) -> None:
    """Over TLS the address is verified, and the connection is private."""
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    async with broker.serve(Echo(), "wss://127.0.0.1:0/a/b", tls=tls) as server:
        address = server.addresses[0]
        assert address.startswith("wss://127.0.0.1:") and address.endswith("/a/b")
        ours = broker.TLS.client(ca=authority.ca_path)
        async with broker.connect(address, tls=ours) as connection:
            peer, is_private = await connection.root.callRemote("peer")
            assert peer.startswith("127.0.0.1:") and is_private
            assert connection.broker.port.is_secure
        with pytest.raises(broker.TLSError, match="certificate"):
            await broker.connect(address)


async def test_each_loop(each_loop: Any) -> None:
    """Messages of each size pass, many at a time, in each kind of loop."""
    async with (
        broker.serve(Echo(), ADDRESS) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        echo = connection.root.callRemote
        long = "x" * 3_000_000
        results = await asyncio.gather(echo("echo", long), *(echo("echo", i) for i in range(100)))
        assert results == [long, *range(100)]


@pytest.mark.parametrize("path", ["/", "/pb/", "/PB", "/pb%20"])
async def test_other_paths(path: str) -> None:
    """Another path is an error that says so."""
    async with broker.serve(Echo(), ADDRESS) as server:
        address = f"ws://127.0.0.1:{port_of(server)}{path}"
        with pytest.raises(broker.ConnectError) as caught:
            await broker.connect(address)
        assert str(caught.value) == f"no WebSocket at {address}: the server answers 404 Not Found"


async def test_a_server_of_another_protocol() -> None:
    """A server that speaks first, or speaks no HTTP, is an error that says so."""
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        with pytest.raises(broker.ConnectError, match="does not answer in HTTP"):
            await broker.connect(f"ws://127.0.0.1:{port}/")
    async with broker.serve(Echo(), ADDRESS) as server:
        with pytest.raises(broker.ConnectError, match=r"no connection to .* in 0.2 s \(offer\)"):
            await broker.connect(f"pb://127.0.0.1:{port_of(server)}", timeout=0.2)


async def test_a_server_that_says_nothing() -> None:
    """The error of ``connect`` names the handshake that was not completed."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        address = f"ws://127.0.0.1:{listener.getsockname()[1]}/pb"
        with pytest.raises(broker.ConnectError) as caught:
            await broker.connect(address, timeout=0.2)
    assert str(caught.value) == f"no connection to {address} in 0.2 s (WebSocket handshake)"


async def test_foreign_client() -> None:
    """A client of another library gets messages of at most 64 KiB, pongs, and a clean end."""
    async with broker.serve(Echo(), ADDRESS) as server:
        connect = websockets.asyncio.client.connect
        async with connect(
            server.addresses[0],
            subprotocols=["pb"],
            compression="deflate",  # type: ignore[list-item]
        ) as web:
            assert (web.subprotocol, web.protocol.extensions) == ("pb", [])
            assert b"msgpack/1" in await web.recv()
            await (await web.ping(b"hello"))
        assert (web.close_code, web.protocol.close_rcvd_then_sent) == (1000, False)
        while server.stats.closed < 1:
            await asyncio.sleep(0)


async def test_the_server_closes(caplog: pytest.LogCaptureFixture) -> None:
    """A server that closes sends a Close, and waits for the answer of the client."""
    caplog.set_level(logging.INFO, "broker.server")
    server = await broker.serve(Echo(), ADDRESS)
    connect = websockets.asyncio.client.connect
    async with connect(server.addresses[0], subprotocols=["pb"]) as web:  # type: ignore[list-item]
        await web.recv()
        closing = asyncio.ensure_future(server.close())
        while True:
            try:
                await web.recv()
            except websockets.exceptions.ConnectionClosedOK as closed:
                assert closed.rcvd is not None and closed.rcvd.code == 1000
                break
        await closing
    assert any("ended: Connection was closed cleanly" in each for each in caplog.messages)


async def test_a_cut_is_told() -> None:
    """A connection that ends without a Close was lost."""
    async with broker.serve(Echo(), ADDRESS) as server:
        connection = await broker.connect(server.addresses[0])
        far = server.connections[0].broker
        connection.broker.transport._source._source.close()
        await far.closed
        assert str(far.reason) == "connection cut (no WebSocket close)"
        await connection.wait_closed()


@pytest.mark.parametrize("start", [b"", b"GET /pb HTTP/1.1\r\nHost: x\r\n", request() + b"\x82"])
async def test_slow_handshakes(start: bytes) -> None:
    """A head that is not complete in time ends the connection; so does a missing choice."""
    policy = STRICT.but(handshake_timeout=0.2, offer_timeout=0.2)
    async with broker.serve(Echo(), ADDRESS, policy=policy) as server:
        reader, writer = await opened(server, data=start)
        await reader.read()
        writer.close()


async def test_the_text_of_a_slow_handshake(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which handshake was not completed."""
    policy = STRICT.but(handshake_timeout=0.1)
    async with broker.serve(Echo(), ADDRESS, policy=policy) as server:
        reader, writer = await opened(server, data=b"GET /pb")
        await reader.read()
        writer.close()
    (line,) = caplog.messages
    assert line.endswith(": WebSocket handshake not completed in 0.1 s")


async def test_waiting_connections_close_with_the_server() -> None:
    """A connection whose request has not come is closed with the server."""
    server = await broker.serve(Echo(), ADDRESS, policy=STRICT.but(handshake_timeout=600.0))
    reader, writer = await opened(server, data=b"GET /pb HTTP/1.1\r\n")
    while not server._acceptor.waiting:
        await asyncio.sleep(0)
    await server.close()
    with pytest.raises(ConnectionResetError):
        while await reader.read(1):
            pass
        raise ConnectionResetError
    writer.close()


async def test_too_many_before_the_request(caplog: pytest.LogCaptureFixture) -> None:
    """Connections count from the first byte on; too many of one source are cut, with one line."""
    policy = STRICT.but(max_waiting_each=2)
    async with broker.serve(Echo(), ADDRESS, policy=policy) as server:
        held = [await opened(server, data=b"GET ") for _ in range(2)]
        while server._acceptor.waiting < 2:
            await asyncio.sleep(0)
        reader, writer = await opened(server, data=request())
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert server.stats.limits["max_waiting_each"] == 1
        for _, each in [*held, (reader, writer)]:
            each.close()
        while server._acceptor.waiting:
            await asyncio.sleep(0)
        async with broker.connect(server.addresses[0]):
            pass
    assert "refused 127.0.0.1: 2 connections waiting for login" in caplog.messages


async def test_long_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of many bytes is sent whole."""
    body = bytes(8_000_000)
    monkeypatch.setattr(door, "static_page", lambda path: Page("text/plain", body, '"x"'))
    async with broker.serve(Echo(), ADDRESS) as server:
        reader, writer = await opened(server, data=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.endswith(b"\r\n\r\n" + body)


class SlowSource:
    """The source of a peer that reads slowly; the test says how much is unsent."""

    unsent = 100
    is_aborted = False

    def get_write_buffer_size(self) -> int:
        """Return it."""
        return self.unsent

    def write(self, data: bytes) -> None:
        """Take it."""

    def write_eof(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Note it."""
        self.is_aborted = True


class Above:
    """A stream that has no protocol as yet."""

    def connection_made(self, source: Any) -> None:
        """Do nothing."""

    def fail_for(self, error: Any, *, is_logged: bool) -> bool:
        """Take the error."""
        return True


@pytest.mark.parametrize(("left", "is_cut"), [(60, False), (100, True), (0, True)])
async def test_a_slow_reader(monkeypatch: pytest.MonkeyPatch, left: int, is_cut: bool) -> None:
    """After an answer, ``close_timeout`` begins anew as long as the peer has taken some of it."""
    timers: list[Any] = []
    monkeypatch.setattr(
        FilteredSource, "_set_timer", lambda self, delay, f, *args: timers.append((f, args))
    )
    above: Any = Above()
    filtered = FilteredSource(
        above, asyncio.get_running_loop(), [served()], handshake_timeout=1, close_timeout=1
    )
    source = SlowSource()
    filtered.connection_made(source)
    filtered.begin(PEER)
    filtered.data_received(b"GET /health HTTP/1.1\r\n\r\n")
    f, args = timers[-1]
    source.unsent = left
    f(*args)
    assert source.is_aborted == is_cut
    assert len(timers) == (2 if is_cut else 3)


async def test_ready_while_draining() -> None:
    """A server that drains accepts no more, so that nobody can ask; its state is told till then."""
    server = await broker.serve(Echo(), ADDRESS)
    assert server.state == "ready"
    await server.close()
    assert server.state == "draining"


async def test_attach_refuses_when_closed() -> None:
    """A server that has closed refuses what is attached, and closes it."""
    server = await broker.serve(Echo(), listen=False)
    assert server.addresses == ()
    await server.close()

    class Transport:
        """Notes its end."""

        is_aborted = False

        def write(self, data: bytes) -> None:
            """Nothing is written."""
            raise AssertionError

        def getPeer(self) -> Any:
            """Somebody."""
            return IPv4Address("TCP", "192.0.2.7", 1)

        def loseConnection(self) -> None:
            """Note it."""
            self.is_aborted = True

    transport = Transport()
    assert server.attach(transport) is None
    assert transport.is_aborted


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ws://127.0.0.1", "address 'ws://127.0.0.1/' has no port; write ws://127.0.0.1:8788/pb"),
        ("ws://0.0.0.0:1/", "listening on 0.0.0.0 without TLS; use wss:// and pass tls="),
        ("wss://127.0.0.1:1/", "needs a certificate: pass tls=TLS.server"),
        ("ws://h:1/a?b", "says more than host, port and path"),
        ("ws://h:1/#a", "says more than host, port and path"),
        ("ws://u@h:1/", "says more than host, port and path"),
        ("ws://h:1/a b", "write the path in ASCII, with %20 for a space"),
        ("ws://h:1/é", "write the path in ASCII"),
        ("ws://:1/", "is not understood; write ws://127.0.0.1:8788/pb"),
        ("ws://h:x/", "has no valid port; write ws://127.0.0.1:8788/pb"),
    ],
)
def test_wrong_addresses(address: str, text: str) -> None:
    """A wrong address is an error that says how to write one."""
    with pytest.raises(broker.ConfigError) as caught:
        broker.serve(Echo(), address)
    assert text in str(caught.value)


def test_addresses_of_clients() -> None:
    """A client takes the ports of HTTP where none is given, and wants TLS to other machines."""
    assert parse_address("ws://h") == WebPlace("h", None, "/", False)
    place = parse_address("wss://H.example/pb")
    assert isinstance(place, WebPlace)
    assert (str(place), place.port_to_reach) == ("wss://h.example/pb", 443)
    assert parse_address(str(place)) == place
    assert str(parse_address("ws://[::1]:8/x")) == "ws://[::1]:8/x"
    with pytest.raises(broker.ConfigError, match="connecting to h without TLS; use wss://, or Pol"):
        broker.connect("ws://h/")
    with pytest.raises(broker.ConfigError, match="tls= is for pbs:// and wss:// addresses"):
        broker.connect("ws://127.0.0.1/", tls=broker.TLS.client())


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, scheme: str, pair: Any) -> None:
    """Without `websockets` both ends are told what to install, before anything is opened."""
    monkeypatch.setattr(web_scheme, "find_spec", lambda name: None)
    assert importlib.util.find_spec("websockets") is not None
    text = rf"{scheme}:// needs the extra ws: pip install 'perspective-broker\[ws\]'"
    tls = broker.TLS.server(pair.certificate_path, pair.key_path) if scheme == "wss" else None
    with pytest.raises(broker.ConfigError, match=text):
        broker.serve(Echo(), f"{scheme}://127.0.0.1:1/", tls=tls)
    with pytest.raises(broker.ConfigError, match=text):
        broker.connect(f"{scheme}://127.0.0.1:1/")


async def test_frames_of_a_plain_socket() -> None:
    """A wrong frame ends the connection with its Close, which the peer can read, and one line."""
    async with broker.serve(Echo(), ADDRESS) as server:
        reader, writer = await opened(server, data=request())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(b"text", 1))
        assert (await reader.read()).endswith(b"\x88\x16\x03\xebbinary messages only")
        writer.close()


def test_nothing_is_loaded() -> None:
    """A program without ``ws://`` loads nothing of it."""
    code = (
        "import sys, broker; broker.serve, broker.connect, broker.asgi;"
        "print([name for name in sys.modules if name.split('.')[0] == 'websockets'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
