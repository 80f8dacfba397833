"""Pipes as stream connections: bytes between a pair of file descriptors and a protocol.

Theory of operation
===================

A pipe has one direction, so a connection needs two: a `PipeReader` and a `PipeWriter`, each the
owner of one descriptor. `PipePair` joins them to one source of bytes, as asyncio's transport of a
socket is one. The stream above is the same as over a socket, with its closing, producers, water
marks, filters and the report of the end::

    stream = StreamTransport(make_protocol, loop)
    PipePair(loop, stream.receiver, reading, writing, address).start()

The descriptors may be pipes, sockets, terminals or plain files. asyncio's own pipe transports
refuse plain files, and need a turn of the loop before they accept a write. A descriptor from 0 to 2
is not closed but redirected to the null device, so that a file that is opened later does not become
the standard output of some code.

A pipe whose reader has closed fails at the next write, while the last data of the other end may
still wait in the other pipe. That data is read before the end is reported.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from broker.net import forks
from broker.net.socket_addresses import PipeAddress
from broker.net.transports import HIGH_WATER

__all__ = ["PipePair", "PipeReader", "PipeWriter"]

_READ_SIZE = 64 * 1024

# Reads for the last data of an end that has stopped reading: more than the pipe of any system
# holds.
_LAST_READS = 64


class PipeReader:
    """Reads a descriptor, and owns it.

    Args:
        fd: the descriptor.
        on_data: called with incoming bytes.
        on_end: called once with None at the end of the data, or with the error; not after `close`.
    """

    def __init__(
        self,
        fd: int,
        on_data: Callable[[bytes], object],
        on_end: Callable[[OSError | None], object],
    ):
        self._fd = _Descriptor(fd)
        self._on_data = on_data
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._polling: asyncio.Handle | None = None
        self._is_paused = False

    @property
    def is_closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self._fd.is_closed

    @property
    def is_paused(self) -> bool:
        """Whether reading is paused."""
        return self._is_paused

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to read, in this loop."""
        self._loop = loop
        if not self._is_paused:
            self.resume()

    def pause(self) -> None:
        """Stop reading until `resume`; until then the end is not noticed."""
        self._is_paused = True
        self._unwatch()

    def resume(self) -> None:
        """Read again."""
        self._is_paused = False
        if self.is_closed or self._loop is None:
            return
        try:
            self._loop.add_reader(self._fd.number, self._readable)
        except PermissionError:  # a plain file, which is always readable
            if self._polling is None:
                self._polling = self._loop.call_soon(self._poll)

    def read_rest(self) -> None:
        """Deliver data that is there already, unless paused; this may reach the end."""
        for _ in range(_LAST_READS):
            if self.is_closed or self._is_paused or not self._readable():
                return

    def close(self) -> None:
        """Stop reading, and close the descriptor."""
        self._unwatch()
        self._fd.close()

    def _readable(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._fd.number, _READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            # The error of a terminal that was hung up means only its end.
            self._end(None if os.isatty(self._fd.number) else exc)
            return False
        if not data:
            self._end(None)
            return False
        self._on_data(data)
        return True

    def _poll(self) -> None:
        self._polling = None
        self._readable()
        if not self._is_paused:
            self.resume()

    def _end(self, exc: OSError | None) -> None:
        self.close()
        self._on_end(exc)

    def _unwatch(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if self._loop is not None and not self.is_closed:
            self._loop.remove_reader(self._fd.number)


class PipeWriter:
    """Writes to a descriptor, and owns it. Writes before `start` may wait for it.

    Args:
        fd: the descriptor.
        on_lost: called once, with None after `close` when all bytes are written, or with the error;
            not after `abort`.
        on_full: called when more bytes than the limit are unsent.
        on_drained: called when, after that, at most a quarter of the limit is unsent.
    """

    def __init__(
        self,
        fd: int,
        on_lost: Callable[[OSError | None], object],
        on_full: Callable[[], object],
        on_drained: Callable[[], object],
    ):
        self._fd = _Descriptor(fd)
        self._on_lost = on_lost
        self._on_full = on_full
        self._on_drained = on_drained
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = bytearray()
        self._high = HIGH_WATER
        self._is_full = False
        self._is_closing = False
        self._watches_reader = stat.S_ISFIFO(os.fstat(fd).st_mode)

    @property
    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._buffer)

    @property
    def is_closed(self) -> bool:
        """Whether the descriptor is closed."""
        return self._fd.is_closed

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start to write the waiting bytes, in this loop."""
        self._loop = loop
        if self.is_closed:
            return
        if self._watches_reader:
            # The writing end of a pipe becomes readable when all readers have closed the other end.
            loop.add_reader(self._fd.number, self._reader_gone)
        if self._buffer:
            loop.add_writer(self._fd.number, self._writable)
        self._finish_if_done()

    def set_limit(self, high: int) -> None:
        """Set the number of unsent bytes above which `on_full` is called."""
        self._high = high
        self._check_full()

    def write(self, data: bytes) -> None:
        """Write ``data`` after earlier writes; drop it once this end closes.

        Raises:
            TypeError: ``data`` is not bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"a pipe takes bytes, not {type(data).__name__}")
        if self.is_closed or self._is_closing or not data:
            return
        if not self._buffer:
            try:
                data = data[os.write(self._fd.number, data) :]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as exc:
                # Later: the caller does not expect the end of the connection during its write.
                self._later(partial(self._lose, exc))
                return
            if data and self._loop is not None:
                self._loop.add_writer(self._fd.number, self._writable)
        self._buffer += data
        self._check_full()

    def close(self) -> None:
        """Close once all bytes are written; `on_lost` is called then, never at once."""
        if not self._is_closing and not self.is_closed:
            self._is_closing = True
            self._later(self._finish_if_done)

    def abort(self) -> None:
        """Close now; unsent bytes are lost."""
        self._buffer.clear()
        if self._loop is not None and not self.is_closed:
            self._loop.remove_writer(self._fd.number)
            if self._watches_reader:
                self._loop.remove_reader(self._fd.number)
        self._fd.close()

    def _later(self, f: Callable[[], object]) -> None:
        if self._loop is not None:
            self._loop.call_soon(f)

    def _reader_gone(self) -> None:
        self._lose(BrokenPipeError("the other end of this pipe is closed"))

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd.number, self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._lose(exc)
            return
        del self._buffer[:sent]
        if not self._buffer and self._loop is not None:
            self._loop.remove_writer(self._fd.number)
        if self._is_full and self.unsent <= self._high // 4:
            self._is_full = False
            self._on_drained()
        self._finish_if_done()

    def _check_full(self) -> None:
        if not self._is_full and self.unsent > self._high:
            self._is_full = True
            self._on_full()

    def _finish_if_done(self) -> None:
        if self._is_closing and not self._buffer:
            self._lose(None)

    def _lose(self, exc: OSError | None) -> None:
        if not self.is_closed:
            self.abort()
            self._on_lost(exc)


class Receiver(Protocol):
    """The protocol of a PipePair, as asyncio has it: a stream, or its filters."""

    def connection_made(self, source: PipePair, /) -> object:
        """Use the pipes."""

    def data_received(self, data: bytes, /) -> object:
        """Take incoming bytes."""

    def eof_received(self) -> bool | None:
        """Take no more: the other end has closed. False closes this end too."""

    def pause_writing(self) -> object:
        """Stop writing: too many bytes are unsent."""

    def resume_writing(self) -> object:
        """Go on writing: few bytes are unsent."""

    def connection_lost(self, exc: Exception | None, /) -> object:
        """Report the end."""


class PipePair:
    """A reading and a writing pipe as the source of one stream.

    Args:
        loop: the event loop.
        receiver: gets the data and the events of both: ``receiver`` of a StreamTransport.
        reading, writing: descriptors, owned from now on.
        address: the address of both ends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        reading: int,
        writing: int,
        address: PipeAddress,
    ):
        self._loop = loop
        self._receiver = receiver
        self._address = address
        self._is_over = False
        self._is_half_closed = False
        self.reader = PipeReader(reading, receiver.data_received, self._reading_ended)
        self.writer = PipeWriter(
            writing, self._writing_ended, receiver.pause_writing, receiver.resume_writing
        )

    def start(self) -> None:
        """Make the connection, and start both pipes."""
        self._receiver.connection_made(self)
        if not self._is_over:
            self.writer.start(self._loop)
            self.reader.start(self._loop)

    def get_extra_info(self, name: str, default: object = None) -> Any:
        """Return the address; there is no socket."""
        return self._address if name in ("peername", "sockname") else default

    def get_write_buffer_size(self) -> int:
        """Return the number of unsent bytes."""
        return self.writer.unsent

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        """Set the mark above which the receiver is paused; the low mark follows from it."""
        self.writer.set_limit(HIGH_WATER if high is None else high)

    def write(self, data: bytes) -> None:
        """Write data to the writing pipe."""
        self.writer.write(data)

    def write_eof(self) -> None:
        """Close the writing pipe when all bytes are written, and read on."""
        self._is_half_closed = True
        self.writer.close()

    def is_reading(self) -> bool:
        """Return whether data is delivered."""
        return not self.reader.is_paused

    def pause_reading(self) -> None:
        """Pause delivery."""
        self.reader.pause()

    def resume_reading(self) -> None:
        """Resume delivery."""
        self.reader.resume()

    def close(self) -> None:
        """Stop reading, and close when all bytes are written."""
        self._is_half_closed = False
        self.reader.close()
        if self.writer.is_closed:
            self._end(None)
        else:
            self.writer.close()

    def abort(self) -> None:
        """Close both pipes now."""
        self._end(None)

    def ended(self, exc: Exception | None) -> None:
        """Report, soon, that both pipes are closed."""
        self._loop.call_soon(self._receiver.connection_lost, exc)

    def _reading_ended(self, exc: OSError | None) -> None:
        if exc is not None:
            self._end(exc)
        elif not self._receiver.eof_received():
            self.close()

    def _writing_ended(self, exc: OSError | None) -> None:
        if self._is_half_closed and exc is None:
            return
        if exc is not None:
            self.reader.read_rest()
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        if not self._is_over:
            self._is_over = True
            self.reader.close()
            self.writer.abort()
            self.ended(exc)


class _Descriptor:
    """An open descriptor in non-blocking mode."""

    def __init__(self, number: int):
        self.number = number
        self.is_closed = False
        self._was_blocking = os.get_blocking(number)
        os.set_blocking(number, False)
        forks.watch(self)

    def on_forked(self) -> None:
        """Give the copy back and leave the open file as it is: this is a child process."""
        if not self.is_closed:
            self.is_closed = True
            forks.give_back(self.number)

    def close(self) -> None:
        """Close the descriptor, once."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.number > 2:
            os.close(self.number)
            return
        with suppress(OSError):  # others may share the open file, such as a shell
            os.set_blocking(self.number, self._was_blocking)
        forks.give_back(self.number)
