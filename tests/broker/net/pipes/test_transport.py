"""Connections over pairs of pipes, seen from the protocol, on real descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from broker.errors import ConnectionAborted, ConnectionDone, ConnectionLost
from broker.net.pipes.transport import PipePair, PipeReader, PipeWriter
from broker.net.socket_addresses import PipeAddress
from broker.net.transports import HIGH_WATER, StreamTransport

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def protocol(recorder: Any) -> Any:
    """A protocol that records."""
    return recorder()


def open_pipes(
    protocol: Any, reading: int, writing: int, address: PipeAddress, filters: Any = ()
) -> StreamTransport:
    """Put a transport over two descriptors, with a protocol."""
    loop = asyncio.get_running_loop()
    transport = StreamTransport(lambda address: protocol, loop, filters=filters)
    PipePair(loop, transport.receiver, reading, writing, address).start()
    return transport


class Ends:
    """Two pipes, and the descriptors at their far ends."""

    def __init__(self) -> None:
        self.reading, self.far_writing = os.pipe()
        self.far_reading, self.writing = os.pipe()
        self._far = [self.far_writing, self.far_reading]

    def open(self, protocol: Any, filters: Any = ()) -> StreamTransport:
        """Put a transport over the near ends, with a protocol."""
        return open_pipes(protocol, self.reading, self.writing, PipeAddress("a test"), filters)

    def close(self, fd: int) -> None:
        """Close a far end, once."""
        if fd in self._far:
            self._far.remove(fd)
            os.close(fd)

    def close_far(self) -> None:
        """Close the far ends that are open."""
        for fd in list(self._far):
            self.close(fd)

    def read_all(self) -> bytes:
        """Read the far end until its end."""
        data = b""
        while piece := os.read(self.far_reading, 1 << 20):
            data += piece
        return data


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Two pipes, closed in the end."""
    pipes = Ends()
    yield pipes
    pipes.close_far()
    for fd in (pipes.reading, pipes.writing):
        with suppress(OSError):
            os.close(fd)


def is_open(fd: int) -> bool:
    """Is this descriptor open?"""
    try:
        os.fstat(fd)
    except OSError as exc:
        assert exc.errno == errno.EBADF
        return False
    return True


async def test_both_ways(each_loop, ends: Ends, protocol: Any) -> None:
    """Bytes go both ways, and the transport has the API of a socket's."""
    transport = ends.open(protocol)
    assert protocol.transport is transport
    assert transport.getPeer() == transport.getHost() == PipeAddress("a test")
    assert str(transport.getPeer()) == "a test"
    assert (transport.getTcpNoDelay(), transport.is_secure) == (False, False)
    transport.setTcpKeepAlive(True)
    os.write(ends.far_writing, b"in")
    assert await protocol.received(2) == b"in"
    transport.writeSequence([b"o", b"ut"])
    assert os.read(ends.far_reading, 10) == b"out"
    transport.loseConnection()
    assert type(await protocol.lost()) is ConnectionDone
    assert os.read(ends.far_reading, 10) == b""
    assert not is_open(ends.reading)
    assert not is_open(ends.writing)


async def test_end_of_input(each_loop, ends: Ends, protocol: Any) -> None:
    """The end of the input ends the connection, once all written bytes are sent."""
    data = os.urandom(1 << 20)

    transport = ends.open(protocol)
    transport.write(data)
    assert transport.unsent > 0
    ends.close(ends.far_writing)
    got = await asyncio.to_thread(ends.read_all)
    assert type(await protocol.lost()) is ConnectionDone
    assert got == data


async def test_reader_gone(each_loop, ends: Ends, protocol: Any) -> None:
    """A peer that stops reading ends the connection, but its last data is delivered."""
    transport = ends.open(protocol)
    transport.pauseProducing()
    os.write(ends.far_writing, b"last words")
    transport.resumeProducing()
    ends.close(ends.far_reading)
    transport.write(b"nobody gets this")
    assert type(await protocol.lost()) is ConnectionLost
    assert protocol.data == b"last words"
    assert protocol.lost_calls == 1


async def test_reader_gone_unasked(each_loop, ends: Ends, protocol: Any) -> None:
    """An idle connection also notices that the other end does not read any more."""
    ends.open(protocol)
    ends.close(ends.far_reading)
    assert type(await protocol.lost()) is ConnectionLost


async def test_abort(each_loop, ends: Ends, protocol: Any) -> None:
    """An aborted connection ends, also while much is unsent."""
    transport = ends.open(protocol)
    transport.write(bytes(1 << 20))
    transport.abortConnection()
    assert type(await protocol.lost()) is ConnectionAborted
    assert len(await asyncio.to_thread(ends.read_all)) < 1 << 20


async def test_pausing(each_loop, ends: Ends, protocol: Any) -> None:
    """No data is delivered while the protocol has paused its transport."""
    transport = ends.open(protocol)
    transport.pauseProducing()
    assert not transport.is_reading
    os.write(ends.far_writing, b"x")
    for _ in range(5):
        await asyncio.sleep(0)
    assert protocol.data == b""
    transport.resumeProducing()
    assert transport.is_reading
    assert await protocol.received(1) == b"x"
    transport.abortConnection()
    await protocol.lost()


async def test_producers(each_loop, ends: Ends, protocol: Any) -> None:
    """A push producer is paused above the high water mark and resumed; a pull producer asked."""
    said: list[str] = []

    class Pushing:
        def pauseProducing(self) -> None:
            said.append("pause")

        def resumeProducing(self) -> None:
            said.append("resume")
            transport.unregisterProducer()
            transport.registerProducer(Pulling(), False)

        def stopProducing(self) -> None:
            said.append("stop")

    class Pulling(Pushing):
        def resumeProducing(self) -> None:
            said.append("pull")
            if said.count("pull") < 3:
                transport.write(bytes(100_000))
            else:
                transport.unregisterProducer()
                transport.loseConnection()

    transport: Any = None
    transport = ends.open(protocol)
    transport.registerProducer(Pushing(), True)
    transport.write(bytes(2 * HIGH_WATER + 70_000))
    assert said == ["pause"]
    got = await asyncio.to_thread(ends.read_all)
    assert type(await protocol.lost()) is ConnectionDone
    assert len(got) == 2 * HIGH_WATER + 270_000
    assert said == ["pause", "resume", "pull", "pull", "pull"]


class Half:
    """A protocol of a pair of pipes that has closed its own half."""

    def __init__(self) -> None:
        self.data = b""
        self.calls: list[str] = []
        self.changed = asyncio.Event()

    def connection_made(self, pipes: PipePair) -> None:
        """Close the writing half."""
        pipes.write(b"last words")
        pipes.write_eof()

    def data_received(self, data: bytes) -> None:
        """Keep the data."""
        self.data += data
        self.changed.set()

    def eof_received(self) -> bool:
        """Let the pipes close."""
        self.calls.append("eof")
        return False

    def pause_writing(self) -> None:
        """Do nothing."""

    def resume_writing(self) -> None:
        """Do nothing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.calls.append(f"lost {exc}")
        self.changed.set()


async def test_half_closed(each_loop, ends: Ends) -> None:
    """After the end of the written bytes a pair of pipes reads on, until the other end closes."""
    half = Half()
    pipes = PipePair(asyncio.get_running_loop(), half, ends.reading, ends.writing, PipeAddress())
    pipes.start()
    assert await asyncio.to_thread(ends.read_all) == b"last words"
    os.write(ends.far_writing, b"answer")
    await half.changed.wait()
    assert (half.data, half.calls) == (b"answer", [])
    half.changed.clear()
    ends.close(ends.far_writing)
    await half.changed.wait()
    assert half.calls == ["eof", "lost None"]


async def test_refused(each_loop: Any, ends: Ends) -> None:
    """If no protocol is made, the pipes are closed."""
    transport = ends.open(None)
    assert transport.protocol is None
    assert await asyncio.to_thread(ends.read_all) == b""


async def test_protocol_raises(each_loop, ends: Ends, protocol: Any, caplog: Any) -> None:
    """A protocol that raises loses its connection, and the log says why."""

    def raises(data: bytes) -> None:
        raise ZeroDivisionError

    protocol.dataReceived = raises

    ends.open(protocol)
    os.write(ends.far_writing, b"x")
    assert type(await protocol.lost()) is ConnectionAborted
    assert "a test: the protocol raised" in caplog.text


async def test_files(each_loop, protocol: Any, tmp_path: Path) -> None:
    """Plain files work too: they are always ready."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(200_000))

    reading, writing = os.open(source, os.O_RDONLY), os.open(target, os.O_CREAT | os.O_WRONLY)
    transport = open_pipes(protocol, reading, writing, PipeAddress())
    transport.write(b"written")
    assert type(await protocol.lost()) is ConnectionDone
    assert len(protocol.data) == 200_000
    assert target.read_bytes() == b"written"


async def test_paused_file(each_loop, protocol: Any, tmp_path: Path) -> None:
    """A plain file can be paused too, several times."""
    source = tmp_path / "source"
    source.write_bytes(bytes(200_000))

    ended: list[Any] = []
    reader = PipeReader(os.open(source, os.O_RDONLY), protocol.dataReceived, ended.append)
    reader.pause()
    reader.start(asyncio.get_running_loop())
    await asyncio.sleep(0)
    reader.resume()
    reader.resume()
    await protocol.received(1)
    reader.pause()
    reader.pause()
    size = len(protocol.data)
    await asyncio.sleep(0)
    assert len(protocol.data) == size < 200_000
    reader.resume()
    await protocol.received(200_000)
    while not ended:
        await asyncio.sleep(0)
    assert (ended, reader.is_closed) == ([None], True)
    reader.close()


def test_standard_descriptors() -> None:
    """A descriptor up to 2 is redirected to the null device, and its blocking mode restored."""
    reading, writing = os.pipe()
    kept = os.dup(0)
    try:
        os.dup2(reading, 0)
        PipeReader(0, lambda data: None, lambda exc: None).close()
        assert os.path.samestat(os.fstat(0), os.stat(os.devnull))
        assert os.get_blocking(reading)
    finally:
        os.dup2(kept, 0)
        for fd in (kept, reading, writing):
            os.close(fd)


async def test_writing_before_the_loop(each_loop) -> None:
    """Bytes written before there is a loop are sent at once if possible, or wait for one."""
    reading, writing = os.pipe()
    lost: list[Any] = []
    full: list[str] = []
    writer = PipeWriter(writing, lost.append, lambda: full.append("full"), lambda: None)
    writer.write(b"now")
    assert os.read(reading, 10) == b"now"
    writer.write(bytes(300_000))
    assert writer.unsent > 0
    assert full == ["full"]
    writer.close()
    writer.write(b"too late")

    writer.start(asyncio.get_running_loop())
    got = 0
    while got < 300_000:
        got += len(await asyncio.to_thread(os.read, reading, 1 << 20))
    while not lost:
        await asyncio.sleep(0)
    assert got == 300_000
    assert lost == [None]
    assert stat.S_ISFIFO(os.fstat(reading).st_mode)
    os.close(reading)


@pytest.mark.parametrize("data", ["text", 5, None])
def test_not_bytes(data: Any) -> None:
    """Only bytes are written."""
    reading, writing = os.pipe()
    writer = PipeWriter(writing, print, print, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a pipe takes bytes, not"):
        writer.write(data)
    writer.abort()
    os.close(reading)


async def test_failed_read(each_loop) -> None:
    """An error of the system ends the connection, and is reported."""
    folder = os.open("/", os.O_RDONLY)
    ended: list[Any] = []

    reader = PipeReader(folder, lambda data: None, ended.append)
    reader.start(asyncio.get_running_loop())
    while not ended:
        await asyncio.sleep(0)
    assert isinstance(ended[0], IsADirectoryError)
