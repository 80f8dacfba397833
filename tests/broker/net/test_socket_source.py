"""The source of a socket: reads, writes that the kernel takes in part, and every kind of end."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from broker.net import socket_source
from broker.net.socket_source import SocketSource

LARGE = bytes(range(256)) * 16_384
"""More than the kernel takes at once."""


class Events:
    """A receiver that notes its events."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.data = bytearray()
        self.source: Any = None
        self.keeps_open = False
        self.on_event: Any = lambda name: None
        self._buffer = memoryview(bytearray(65536))
        self._changed = asyncio.Event()

    def note(self, *event: Any) -> None:
        """Add an event."""
        self.seen.append(event[0] if len(event) == 1 else event)
        self._changed.set()
        self.on_event(event[0])

    async def until(self, event: Any) -> None:
        """Wait for an event."""
        while event not in self.seen:
            self._changed.clear()
            await self._changed.wait()

    def connection_made(self, source: Any) -> None:
        """Note it."""
        self.source = source
        self.note("made")

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return a buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keep the data."""
        self.data += self._buffer[:nbytes]
        self._changed.set()
        self.on_event("data")

    async def received(self, size: int) -> bytes:
        """Wait for so many bytes."""
        while len(self.data) < size:
            self._changed.clear()
            await self._changed.wait()
        return bytes(self.data)

    def eof_received(self) -> bool:
        """Note it."""
        self.note("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        """Note it."""
        self.note("full")

    def resume_writing(self) -> None:
        """Note it."""
        self.note("drained")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it, with the error."""
        self.note("lost", exc)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected by TCP: one for a source, one for the test."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = socket.create_connection(listening.getsockname())
        here, _ = listening.accept()
    here.setblocking(False)
    there.setblocking(False)
    with here, there:
        yield here, there


LOST = ("lost", None)


def started(here: socket.socket) -> tuple[SocketSource, Events]:
    """A source that has begun, and its receiver."""
    events = Events()
    source = SocketSource(asyncio.get_running_loop(), here, events)
    source.start()
    assert events.seen == ["made"]
    assert events.source is source
    return source, events


async def drain(there: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        data += await loop.sock_recv(there, 1 << 20)
    return bytes(data)


async def test_data_and_eof(ends) -> None:
    """Data is delivered in order; the end of the peer closes this end."""
    here, there = ends
    source, events = started(here)
    there.sendall(b"one")
    assert await events.received(3) == b"one"
    source.write(b"two")
    assert await drain(there, 3) == b"two"
    there.shutdown(socket.SHUT_WR)
    await events.until(LOST)
    assert events.seen == ["made", "eof", LOST]
    assert here.fileno() == -1
    assert not source.is_reading()


async def test_the_socket_and_its_addresses(ends) -> None:
    """The source shows its socket and both addresses; small writes are sent at once."""
    here, there = ends
    source, events = started(here)
    assert source.get_extra_info("socket") is here
    assert source.get_extra_info("peername") == there.getsockname()
    assert source.get_extra_info("sockname") == there.getpeername()
    assert source.get_extra_info("cipher", 5) == 5
    assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    source.abort()
    await events.until(LOST)
    assert source.get_extra_info("peername") is None


@pytest.mark.parametrize("send", [socket_source._send_many, socket_source._send_first])
@pytest.mark.parametrize("size", [1, 40])
async def test_more_than_the_kernel_takes(ends, monkeypatch, send: Any, size: int) -> None:
    """Unsent bytes are counted, pause the receiver, and are sent in order when there is space."""
    monkeypatch.setattr(socket_source, "_send", send)
    here, there = ends
    source, events = started(here)
    source.set_write_buffer_limits(high=1000)
    step = -(-len(LARGE) // size)
    for start in range(0, len(LARGE), step):
        source.write(LARGE[start : start + step])
    assert source.get_write_buffer_size() > 1000
    assert events.seen == ["made", "full"]
    source.close()
    assert await drain(there, len(LARGE)) == LARGE
    await events.until(LOST)
    assert events.seen == ["made", "full", "drained", LOST]
    assert source.get_write_buffer_size() == 0
    assert await asyncio.get_running_loop().sock_recv(there, 1) == b""


async def test_a_write_while_it_drains(ends) -> None:
    """A receiver that writes more when it may gets its bytes sent last."""
    here, there = ends
    source, events = started(here)
    events.on_event = lambda name: name == "drained" and source.write(b"!")
    source.write(LARGE)
    assert await drain(there, len(LARGE) + 1) == LARGE + b"!"
    source.close()
    await events.until(LOST)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_end_when_all_is_sent(ends, monkeypatch, how: str) -> None:
    """A receiver that ends the connection when it may write again leaves nothing watched."""
    here, there = ends
    source, events = started(here)
    number, loop = here.fileno(), asyncio.get_running_loop()
    removed: list[int] = []
    remove = loop.remove_writer
    monkeypatch.setattr(loop, "remove_writer", lambda fd: removed.append(fd) or remove(fd))
    source.set_write_buffer_limits(high=0)
    events.on_event = lambda name: name == "drained" and getattr(source, how)()
    source.write(LARGE)
    assert await drain(there, len(LARGE)) == LARGE
    await events.until(LOST)
    assert removed == [number]
    assert events.seen == ["made", "full", "drained", LOST]


async def test_limits_below_what_is_unsent(ends) -> None:
    """A lower limit pauses at once, and only once."""
    here, _ = ends
    source, events = started(here)
    source.set_write_buffer_limits(high=len(LARGE))
    source.write(LARGE)
    assert events.seen == ["made"]
    source.set_write_buffer_limits()
    source.set_write_buffer_limits(high=0)
    assert events.seen == ["made", "full"]
    source.abort()
    await events.until(LOST)


async def test_bytes_that_change(ends) -> None:
    """A bytearray may be changed after it was written; what is not bytes is refused."""
    here, there = ends
    source, events = started(here)
    data = bytearray(LARGE)
    source.write(data)  # type: ignore[arg-type]
    data[:] = bytes(len(data))
    assert await drain(there, len(LARGE)) == LARGE
    with pytest.raises(TypeError, match="takes bytes, not str"):
        source.write("text")  # type: ignore[arg-type]
    source.abort()
    await events.until(LOST)


@pytest.mark.parametrize("size", [1, len(LARGE)])
async def test_half_close(ends, size: int) -> None:
    """After write_eof all bytes are sent, then the end of this half; reading goes on."""
    here, there = ends
    source, events = started(here)
    source.write(LARGE[:size])
    source.write_eof()
    source.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        source.write(b"more")
    assert await drain(there, size) == LARGE[:size]
    assert await asyncio.get_running_loop().sock_recv(there, 1) == b""
    there.sendall(b"late")
    assert await events.received(4) == b"late"
    source.close()
    source.write_eof()
    await events.until(LOST)


async def test_the_peer_closes_its_half(ends) -> None:
    """A receiver that keeps this half open goes on writing, and hears the end once."""
    here, there = ends
    source, events = started(here)
    events.keeps_open = True
    there.shutdown(socket.SHUT_WR)
    await events.until("eof")
    source.write(b"yet")
    assert await drain(there, 3) == b"yet"
    source.close()
    await events.until(LOST)
    assert events.seen == ["made", "eof", LOST]


async def test_pause(ends) -> None:
    """Nothing is delivered while reading is paused, neither data nor the end."""
    here, there = ends
    source, events = started(here)
    source.pause_reading()
    source.pause_reading()
    assert not source.is_reading()
    there.sendall(b"waits")
    there.shutdown(socket.SHUT_WR)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not events.data
    source.resume_reading()
    source.resume_reading()
    assert source.is_reading()
    await events.until(LOST)
    assert events.data == b"waits"
    source.pause_reading()
    source.resume_reading()
    assert not source.is_reading()


async def test_paused_when_it_is_made(ends) -> None:
    """A receiver that pauses or aborts in connection_made gets nothing."""
    here, there = ends
    there.sendall(b"data")
    events = Events()
    source = SocketSource(asyncio.get_running_loop(), here, events)
    events.on_event = lambda name: name == "made" and source.pause_reading()
    source.start()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not events.data
    source.abort()
    source.abort()
    source.close()
    await events.until(LOST)
    assert events.seen == ["made", LOST]


async def test_aborted_when_it_is_made(ends) -> None:
    """A receiver that aborts in connection_made has only its end reported; writes are dropped."""
    here, there = ends
    number = here.fileno()
    there.sendall(b"data")
    events = Events()
    loop = asyncio.get_running_loop()
    source = SocketSource(loop, here, events)
    events.on_event = lambda name: name == "made" and source.abort()
    source.start()
    source.write(b"dropped")
    assert not loop.remove_reader(number)
    await events.until(LOST)
    assert events.seen == ["made", LOST]
    with pytest.raises(ConnectionResetError):
        await loop.sock_recv(there, 10)


async def test_an_empty_write(ends) -> None:
    """A write of no bytes does nothing, also while others wait."""
    here, there = ends
    source, events = started(here)
    source.write(b"")
    source.write(LARGE)
    source.write(b"")
    source.write(b"!")
    assert await drain(there, len(LARGE) + 1) == LARGE + b"!"
    source.abort()
    await events.until(LOST)


async def test_abort_with_unsent_bytes(ends) -> None:
    """abort drops the unsent bytes; later writes are dropped; the end comes in a later turn."""
    here, _ = ends
    source, events = started(here)
    source.write(LARGE)
    source.close()
    source.abort()
    assert events.seen == ["made", "full"]
    assert source.get_write_buffer_size() == 0
    source.write(b"dropped")
    await events.until(LOST)
    assert events.seen == ["made", "full", LOST]


class Broken(socket.socket):
    """A socket whose operations fail as a test says."""

    fails: str = ""

    def recv_into(self, *args: Any) -> int:
        """Fail, or read."""
        return self._do("recv_into", *args)

    def send(self, *args: Any) -> int:
        """Fail, or write."""
        return self._do("send", *args)

    def sendmsg(self, *args: Any) -> int:
        """Fail, or write."""
        return self._do("sendmsg", *args)

    def shutdown(self, how: int) -> None:
        """Fail, or close a half."""
        self._do("shutdown", how)

    def _do(self, name: str, *args: Any) -> Any:
        if self.fails == name:
            raise OSError(errno.ECONNRESET, "reset")
        return getattr(super(), name)(*args)


@pytest.mark.parametrize("what", ["recv_into", "send", "sendmsg", "shutdown"])
async def test_errors_of_the_system(ends, what: str) -> None:
    """An error of the system ends the connection, in a later turn, with that error."""
    here, there = ends
    broken = Broken(here.family, here.type, here.proto, here.detach())
    source, events = started(broken)
    if what in ("sendmsg", "shutdown"):
        source.write(LARGE)
        source.write_eof()
    broken.fails = what
    if what == "send":
        source.write(b"data")
        assert events.seen == ["made"]
    elif what == "recv_into":
        there.sendall(b"data")
    else:
        reading = asyncio.ensure_future(drain(there, len(LARGE) + 1))
    while not isinstance(events.seen[-1], tuple):
        await asyncio.sleep(0)
    name, error = events.seen[-1]
    assert (name, error.errno) == ("lost", errno.ECONNRESET)
    if what in ("sendmsg", "shutdown"):
        reading.cancel()


@pytest.mark.parametrize("what", ["data", "eof"])
async def test_a_receiver_that_raises(ends, what: str) -> None:
    """An error of the receiver is reported to the loop, and ends only this connection."""
    here, there = ends
    _, events = started(here)
    reports: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, report: reports.append(report))
    error = ValueError("mine")

    def fail(name: str) -> None:
        if name == what:
            raise error

    events.on_event = fail
    if what == "data":
        there.sendall(b"data")
    else:
        there.shutdown(socket.SHUT_WR)
    await events.until(("lost", error))
    asyncio.get_running_loop().set_exception_handler(None)
    assert [report["exception"] for report in reports] == [error]
