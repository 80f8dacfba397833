"""Filters in a list: above TLS, over pipes, and the rules that hold for each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors import ConnectionClosed, ConnectionDone, ConnectionLost, TLSError
from broker.net.filters import Filter
from broker.net.pipes.transport import PipePair
from broker.net.socket_addresses import PipeAddress
from broker.net.sockets import bind_stream, connect_stream, start_accepting
from broker.net.tls.transport import SecureTransport, new_transport
from broker.net.transports import StreamTransport

MEBIBYTE = 1 << 20
DATA, CLOSE = b"\0", b"\1"


class Xor(Filter):
    """Changes each byte: a filter without a handshake and without a close message."""

    name = "XOR"
    error = ConnectionLost

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def receive(self, data: bytes | memoryview) -> bytes:
        """Change back."""
        return bytes(data).translate(TABLE)

    def send(self, data: bytes) -> None:
        """Change."""
        self._waiting.append(bytes(data).translate(TABLE))

    def data_to_send(self) -> bytes:
        """Return the changed bytes."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data


TABLE = bytes(byte ^ 0x55 for byte in range(256))


class Framed(Filter):
    """Frames with a length, after a greeting each way; one frame says that no data follows."""

    name = "frame"
    error = ConnectionLost
    purpose = ""
    has_close = True
    is_open = False
    peer_closed = False
    failure = None

    def __init__(self, greeting: bytes = b"HELLO"):
        self._waiting = greeting
        self._buffer = b""
        self._has_closed = False

    def receive(self, data: bytes | memoryview) -> bytes:
        """Take the greeting and frames; return the data of complete frames."""
        self._buffer += data
        if not self.is_open:
            if len(self._buffer) < 5:
                return b""
            if self._buffer[:5] != b"HELLO":
                self._waiting += self._frame(CLOSE, b"no greeting")
                raise ConnectionLost("no greeting")
            self.is_open, self._buffer = True, self._buffer[5:]
        found = b""
        while len(self._buffer) >= 5:
            size = int.from_bytes(self._buffer[1:5])
            if len(self._buffer) < 5 + size:
                break
            kind, body = self._buffer[:1], self._buffer[5 : 5 + size]
            self._buffer = self._buffer[5 + size :]
            if kind == CLOSE:
                self.peer_closed = True
            elif kind == DATA:
                found += body
            else:
                self._waiting += self._frame(CLOSE, b"bad frame")
                self.failure = ConnectionLost("bad frame")
                break
        if self.failure is not None and not found:
            raise self.failure
        return found

    def send(self, data: bytes) -> None:
        """Send a frame."""
        self._waiting += self._frame(DATA, data)

    def data_to_send(self) -> bytes:
        """Return the greeting, and frames."""
        data, self._waiting = self._waiting, b""
        return data

    def close(self) -> None:
        """Send the frame that says that no data follows."""
        if self.is_open and not self._has_closed:
            self._has_closed = True
            self._waiting += self._frame(CLOSE, b"")

    def _frame(self, kind: bytes, body: bytes) -> bytes:
        return kind + len(body).to_bytes(4) + body


class Noted(Framed):
    """Notes in what state it was closed."""

    def __init__(self, told: list[str], name: str):
        super().__init__()
        self.told, self.name = told, name

    def close(self) -> None:
        """Note whether the peer has closed already."""
        if self.is_open and not self._has_closed:
            self.told.append(f"{self.name} closes")
        super().close()


@pytest.fixture
def sides(server_tls: Any, client_tls: Any) -> Callable[[str], tuple[Any, Any]]:
    """Return a function that makes the filters of a server and a client, by a text."""
    secure = server_tls.filter_maker(is_server=True)
    kinds: dict[str, tuple[Any, Any]] = {
        "xor": (Xor, Xor),
        "framed": (Framed, Framed),
        "tls": (secure, client_tls.filter_maker(is_server=False, host="localhost")),
    }

    def make(text: str) -> tuple[Any, Any]:
        names = text.split()
        return tuple((lambda side=side: [kinds[name][side]() for name in names]) for side in (0, 1))  # type: ignore[return-value]

    return make


@pytest.fixture
def over_tcp(factory: Any, recorder: Any) -> Any:
    """Return a coroutine function that joins two recorders over TCP."""

    async def join(make_server: Any, make_client: Any, **kw: Any) -> Any:
        servers = factory()
        sockets = bind_stream("127.0.0.1", 0)
        listener = start_accepting(sockets, servers, make_filters=make_server, **kw)
        ours, port = recorder(), listener.addresses[0].port
        try:
            await connect_stream(
                lambda peer: ours, "127.0.0.1", port, make_filters=make_client, **kw
            )
            return ours, await servers.next()
        finally:
            listener.close()

    return join


@pytest.fixture
def over_pipes(recorder: Any) -> Any:
    """Return a coroutine function that joins two recorders over pipes."""

    async def join(make_server: Any, make_client: Any, **kw: Any) -> Any:
        loop = asyncio.get_running_loop()
        (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
        ends = []
        for make, reading, writing in (
            (make_client, our_in, our_out),
            (make_server, their_in, their_out),
        ):
            end = recorder()
            stream = new_transport(lambda peer, end=end: end, loop, filters=make(), **kw)
            PipePair(loop, stream.receiver, reading, writing, PipeAddress()).start()
            ends.append(end)
        for end in ends:
            await end.transport.wait_secured()
        return ends

    return join


LISTS = ["xor", "framed", "xor framed", "framed xor", "tls framed", "tls framed xor", "tls tls"]


@pytest.mark.parametrize("names", LISTS)
@pytest.mark.parametrize("way", ["over_tcp", "over_pipes"])
async def test_bytes_both_ways(each_loop, sides, way: str, names: str, request) -> None:
    """Bytes pass all filters of a list, over a socket and over pipes, and both ends close well."""
    join = request.getfixturevalue(way)

    client, server = await join(*sides(names))
    up, down = bytes(range(256)) * 4096, b"down" * (MEBIBYTE // 4)
    client.transport.write(up)
    server.transport.writeSequence([down[:7], down[7:]])
    assert await server.received(len(up)) == up
    assert await client.received(len(down)) == down
    assert client.transport.is_secure == ("tls" in names)
    assert isinstance(client.transport, SecureTransport) == ("tls" in names)
    assert (client.transport.channel_binding() is not None) == ("tls" in names)
    server.transport.write(b"last")
    server.transport.loseConnection()
    assert (await client.received(len(down) + 4))[-4:] == b"last"
    # Without a close message, the end of one pipe may be seen before that of the other.
    clean = ConnectionDone if way == "over_tcp" or names != "xor" else ConnectionClosed
    assert isinstance(await client.lost(), clean)
    assert type(await server.lost()) is ConnectionDone


@pytest.mark.parametrize("names", ["framed", "tls framed"])
async def test_cut(each_loop, over_tcp, sides, names: str) -> None:
    """A peer that ends the source without the close of each filter is an error."""

    client, server = await over_tcp(*sides(names))
    client.transport._source._source.close()
    text = "TLS" if names.startswith("tls") else "frame"
    assert str(await server.lost()) == f"connection cut (no {text} close)"
    await client.lost()


async def test_lower_filter_that_closes_first(each_loop, over_tcp, sides) -> None:
    """A close of TLS without the close of the filter above is an error too."""

    client, server = await over_tcp(*sides("tls framed"))
    source = client.transport._source
    source._filters[0].close()
    source._source.write(source._filters[0].data_to_send())
    assert str(await server.lost()) == "connection cut (no frame close)"
    await client.lost()


async def test_order_of_the_close(each_loop, over_tcp) -> None:
    """The filters close from the top, each when the peer has answered the one above."""
    told: list[str] = []

    client, server = await over_tcp(
        lambda: [Framed(), Framed()], lambda: [Noted(told, "lower"), Noted(told, "upper")]
    )
    lower, upper = client.transport._source._filters
    client.transport.loseConnection()
    assert told == ["upper closes"]
    assert not upper.peer_closed
    assert type(await client.lost()) is ConnectionDone
    assert (upper.peer_closed, lower.peer_closed) == (True, True)
    await server.lost()
    assert told == ["upper closes", "lower closes"]


@pytest.mark.parametrize("way", ["over_tcp", "over_pipes"])
async def test_failure(each_loop, sides, way: str, request, caplog) -> None:
    """A filter that fails delivers the data before, tells the peer, and the stream reports it."""
    join = request.getfixturevalue(way)

    client, server = await join(*sides("tls framed"))
    source = client.transport._source
    tls, framed = source._filters
    framed._waiting = b"\0\0\0\0\4good" + b"\7\0\0\0\0"
    source._send()
    assert str(await server.lost()) == "bad frame"
    assert server.data == b"good"
    assert type(await client.lost()) is ConnectionDone
    assert (framed.peer_closed, tls.peer_closed) == (True, True)


class FakeSource:
    """A source that records what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kw: self.calls.append(name)

    def get_write_buffer_size(self) -> int:
        """Return that all is sent."""
        return 0


async def test_failure_leaves_the_source_open(each_loop, recorder) -> None:
    """After a failure the message about it is sent, and the source read until the peer closes."""
    source, protocol = FakeSource(), recorder()
    loop = asyncio.get_running_loop()
    stream = StreamTransport(lambda peer: protocol, loop, filters=[Framed()], close_timeout=0.01)
    receiver = stream.receiver
    receiver.connection_made(source)
    receiver.data_received(b"HELLO")
    source.calls.clear()
    receiver.data_received(b"\7\0\0\0\0")
    assert source.calls == ["write", "write_eof", "resume_reading"]
    assert str(await protocol.lost()) == "bad frame"
    while "abort" not in source.calls:
        await asyncio.sleep(0)
    assert source.calls[3:] == ["abort"]


async def test_failed_handshake(each_loop, over_tcp) -> None:
    """A failure in the handshake of an upper filter ends the attempt to connect."""

    with pytest.raises(ConnectionLost, match=r"^no greeting$"):
        await over_tcp(lambda: [Framed(b"howdy")], lambda: [Framed()])


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (socket.SHUT_WR, "the peer closed the connection during the frame handshake"),
        (None, "the peer cut the connection during the frame handshake"),
    ],
)
async def test_end_during_the_handshake(each_loop, factory, how: Any, text: str) -> None:
    """A peer that leaves during the handshake is an error of the filter that waits for it."""

    servers = factory()
    listener = start_accepting(
        bind_stream("127.0.0.1", 0), servers, make_filters=lambda: [Xor(), Framed()]
    )
    with socket.create_connection(("127.0.0.1", listener.addresses[0].port)) as sock:
        server = await servers.next()
        if how is None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        else:
            sock.shutdown(how)
        assert str(await server.lost()) == text
    listener.close()


async def test_handshake_of_the_upper_filter_is_late(each_loop, over_tcp, sides) -> None:
    """The time for the handshake is for all filters together."""

    make_server, make_client = sides("tls")
    with pytest.raises(ConnectionLost) as caught:
        await over_tcp(make_server, lambda: [*make_client(), Framed()], handshake_timeout=0.2)
    assert caught.value.limit == "handshake_timeout"


async def test_peer_that_does_not_answer_the_close(each_loop, over_tcp) -> None:
    """A filter whose close is not answered in time is cut."""

    class Rude(Framed):
        def receive(self, data: Any) -> bytes:
            taken = super().receive(data)
            self.peer_closed = False
            return taken

    client, server = await over_tcp(lambda: [Rude()], lambda: [Framed()], close_timeout=0.05)
    client.transport.loseConnection()
    reason = await client.lost()
    assert (type(reason), reason.limit) == (ConnectionLost, "close_timeout")
    await server.lost()


async def test_writes_before_the_handshake(each_loop, factory, recorder) -> None:
    """Bytes written before the filters are open are sent then, and a close waits for them."""

    class Early(recorder):
        def makeConnection(self, transport: Any) -> None:
            super().makeConnection(transport)
            transport.write(bytes(100_000) + b"early")
            assert transport.unsent >= 100_005
            transport.loseConnection()
            assert not transport.is_closing

    servers = factory()
    listener = start_accepting(
        bind_stream("127.0.0.1", 0), servers, make_filters=lambda: [Framed(), Framed()]
    )
    port = listener.addresses[0].port
    # The connection may have ended before the attempt to connect has.
    with contextlib.suppress(ConnectionDone):
        await connect_stream(
            lambda peer: Early(), "127.0.0.1", port, make_filters=lambda: [Framed(), Framed()]
        )
    server = await servers.next()
    assert type(await server.lost()) is ConnectionDone
    assert server.data == bytes(100_000) + b"early"
    listener.close()


async def test_paused_data_is_kept_until_reading_resumes(each_loop, over_tcp) -> None:
    """Data that comes while the stream is paused waits; it is dropped when the stream closes."""

    client, server = await over_tcp(lambda: [Framed()], lambda: [Framed()])
    source = server.transport._source
    server.transport.pause_reading()
    source.data_received(b"\0\0\0\0\4data")
    assert (server.data, source._undelivered) == (b"", b"data")
    server.transport.resume_reading()
    assert await server.received(4) == b"data"
    server.transport.pause_reading()
    server.transport.loseConnection()
    source.data_received(b"\0\0\0\0\4more")
    assert source._undelivered == b""
    await client.lost()
    await server.lost()


def test_no_filters() -> None:
    """A stream without filters has no FilteredSource on its way."""
    loop = asyncio.new_event_loop()
    stream = StreamTransport(lambda address: None, loop)
    assert stream.receiver is stream
    assert not stream.is_secure
    assert stream.verified_chain() == ()
    assert stream.channel_binding() is None
    loop.close()


async def test_errors_of_tls_keep_their_class(each_loop, over_tcp, sides) -> None:
    """A failure of TLS below another filter is a TLSError."""

    with pytest.raises(TLSError, match=r"^server is not speaking TLS$"):
        await over_tcp(lambda: [Framed()], sides("tls framed")[1])
