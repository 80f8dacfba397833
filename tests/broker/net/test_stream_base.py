"""The bases of a stream and of the source of a socket: what a program may do to their parts."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from broker.native import native
from broker.net.read_buffer import SLICE_SIZE, scratch
from broker.net.socket_source import SocketSource
from broker.net.stream_base import PythonSourceBase, PythonStreamBase, SourceBase, StreamBase
from broker.net.stream_socket import StreamSocket
from broker.net.transports import StreamTransport


class Receiver:
    """A receiver that notes its events.

    Attributes:
        seen: what it got.
        raises: raised for each piece of data, if it is not None.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.raises: BaseException | None = None
        self._buffer = memoryview(bytearray(64))

    def connection_made(self, source: Any) -> None:
        """Do nothing."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return a buffer."""
        assert sizehint == -1
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keep the data."""
        self.seen.append(bytes(self._buffer[:nbytes]))
        if self.raises is not None:
            raise self.raises

    def eof_received(self) -> bool:
        """Close this end too."""
        self.seen.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.seen.append(exc)


@pytest.fixture(params=[StreamSocket, socket.socket])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, socket.socket]]:
    """Two sockets that are connected: one for a source, one for the test."""
    first, there = socket.socketpair()
    here = request.param(first.family, first.type, first.proto, first.detach())
    here.setblocking(False)
    there.setblocking(False)
    with here, there:
        yield here, there


def started(here: Any) -> tuple[SocketSource, Receiver]:
    """A source that has begun, and its receiver."""
    receiver = Receiver()
    source = SocketSource(asyncio.get_running_loop(), here, receiver)  # type: ignore[arg-type]
    source.start()
    return source, receiver


async def ended(receiver: Receiver) -> Any:
    """Wait for the end, and return the error."""
    while not receiver.seen or not isinstance(receiver.seen[-1], Exception | None):
        await asyncio.sleep(0)
    return receiver.seen[-1]


def test_the_form() -> None:
    """The forms in C are used if they are there."""
    in_c = native is not None
    assert SourceBase is (native.SourceBase if in_c else PythonSourceBase)
    assert StreamBase is (native.StreamBase if in_c else PythonStreamBase)
    assert issubclass(SocketSource, SourceBase)
    assert issubclass(StreamTransport, StreamBase)


async def test_data_there_and_back(ends: Any) -> None:
    """Bytes are written at once, and read when they have come."""
    here, there = ends
    source, receiver = started(here)
    source.write(b"one")
    assert there.recv(9) == b"one"
    there.sendall(b"two")
    source._readable()
    assert receiver.seen == [b"two"]
    source._readable()
    assert receiver.seen == [b"two"], "there was nothing to read"
    source.abort()
    assert await ended(receiver) is None


@pytest.mark.parametrize("what", ["write", "read"])
async def test_another_file_with_the_descriptor(ends: Any, what: str) -> None:
    """If a program closes the socket, a file that gets its descriptor is not read or written."""
    here, _ = ends
    source, receiver = started(here)
    number = here.fileno()
    asyncio.get_running_loop().remove_reader(number)
    here.close()
    left, right = socket.socketpair()
    other = left
    with left, right:
        if left.fileno() != number:
            assert right.fileno() == number, "the descriptor is not used again"
            other, right = right, left
        other.setblocking(False)
        right.sendall(b"secret")
        if what == "write":
            source.write(b"mine")
        else:
            source._readable()
        error = await ended(receiver)
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF
        assert b"secret" not in receiver.seen
        assert other.recv(9) == b"secret", "it was read"
        right.setblocking(False)
        with pytest.raises(BlockingIOError):
            right.recv(9)


async def test_a_socket_that_is_detached(ends: Any) -> None:
    """Nor is the descriptor used that a program has taken from the socket."""
    here, there = ends
    source, receiver = started(here)
    number = here.fileno()
    asyncio.get_running_loop().remove_reader(number)
    taken = socket.socket(fileno=here.detach())
    with taken:
        source.write(b"mine")
        error = await ended(receiver)
        assert isinstance(error, OSError)
        with pytest.raises(BlockingIOError):
            there.recv(9)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_told_to_stop(ends: Any, kind: type[BaseException]) -> None:
    """What ends the program passes through the source, which stays usable."""
    here, there = ends
    source, receiver = started(here)
    receiver.raises = kind()
    there.sendall(b"one")
    with pytest.raises(kind):
        source._readable()
    receiver.raises = None
    there.sendall(b"two")
    source._readable()
    assert receiver.seen == [b"one", b"two"]
    source.abort()
    await ended(receiver)


@pytest.mark.parametrize("data", ["text", None, 5])
async def test_no_bytes(ends: Any, data: Any) -> None:
    """What is not bytes is refused, and the source stays usable."""
    here, there = ends
    source, receiver = started(here)
    with pytest.raises(TypeError, match="takes bytes, not"):
        source.write(data)
    source.write(bytearray(b"one"))
    source.write(memoryview(b"two"))
    assert there.recv(9) == b"onetwo"
    source.abort()
    source.write(b"dropped")
    await ended(receiver)


def test_a_source_that_was_not_made() -> None:
    """A source or stream without its parts raises, and does not end the process."""
    source = SocketSource.__new__(SocketSource)
    stream = StreamTransport.__new__(StreamTransport)
    for call in (
        lambda: source.write(b"data"),
        source._readable,
        lambda: stream.write(b"data"),
        lambda: stream.get_buffer(-1),
        lambda: stream.buffer_updated(3),
        lambda: stream.buffer_updated(SLICE_SIZE + 1),
    ):
        with pytest.raises(AttributeError):
            call()


class Protocol:
    """A protocol that keeps its data."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.raises: BaseException | None = None
        self.lost: list[Any] = []

    def makeConnection(self, transport: Any) -> None:
        """Do nothing."""

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data.append(data)
        if self.raises is not None:
            raise self.raises

    def connectionLost(self, reason: Any) -> None:
        """Keep it."""
        self.lost.append(reason)


async def stream_of(protocol: Any, here: Any) -> StreamTransport:
    """A stream that is connected by a source."""
    loop = asyncio.get_running_loop()
    stream = StreamTransport(lambda address: protocol, loop)
    SocketSource(loop, here, stream.receiver).start()
    return stream


async def test_pieces(ends: Any) -> None:
    """A piece is a copy of the first bytes of the buffer; a larger one comes in slices."""
    protocol = Protocol()
    stream = await stream_of(protocol, ends[0])
    view = stream.get_buffer(-1)
    assert len(view) == SLICE_SIZE
    view[:4] = b"data"
    stream.buffer_updated(4)
    view[:4] = b"gone"
    stream.reads_ahead = True
    assert stream.get_buffer(-1) is scratch.large
    stream.buffer_updated(SLICE_SIZE + 3)
    assert [len(each) for each in protocol.data] == [4, SLICE_SIZE, 3]
    assert protocol.data[0] == b"data"
    for wrong in ("4", None):
        with pytest.raises(TypeError):
            stream.buffer_updated(wrong)  # type: ignore[arg-type]
    stream.abortConnection()
    while not protocol.lost:
        await asyncio.sleep(0)


async def test_the_argument_of_write(ends: Any) -> None:
    """The argument may be given by its name, as in Twisted. A second argument is refused."""
    protocol = Protocol()
    stream = await stream_of(protocol, ends[0])
    stream.write(data=b"one")
    assert ends[1].recv(9) == b"one"
    for args, kw in (
        ((), {}),
        ((b"one", b"two"), {}),
        ((), {"other": b"one"}),
        ((b"",), {"data": b""}),
    ):
        with pytest.raises(TypeError):
            stream.write(*args, **kw)  # type: ignore[call-arg, arg-type]
    stream.abortConnection()
    while not protocol.lost:
        await asyncio.sleep(0)


async def test_after_the_close(ends: Any) -> None:
    """Data after loseConnection is dropped, and so is what is written then."""
    protocol = Protocol()
    stream = await stream_of(protocol, ends[0])
    stream.loseConnection()
    stream.buffer_updated(4)
    stream.write(b"dropped")
    while not protocol.lost:
        await asyncio.sleep(0)
    assert protocol.data == []
    ends[1].settimeout(10)
    assert ends[1].recv(9) == b"", "there is only the end"


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_a_protocol_that_raises(
    ends: Any, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """An error ends this connection alone; what ends the program passes."""
    protocol = Protocol()
    stream = await stream_of(protocol, ends[0])
    protocol.raises = kind()
    if kind is KeyboardInterrupt:
        with pytest.raises(kind):
            stream.buffer_updated(4)
        assert not protocol.lost
        stream.abortConnection()
    else:
        stream.buffer_updated(4)
        assert "the protocol raised" in caplog.text
    while not protocol.lost:
        await asyncio.sleep(0)
