"""The ends of a connection in memory, which take the place of asyncio's socket transports.

An end closes as a TCP socket does: it sends the bytes that wait, then FIN. An end that closes with
unread data, or gets data after that, answers with a reset. A reset may cost the other end the bytes
that it had not read.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from broker.testing.flow import FIN, Flow, NetworkLoop, Profile

__all__ = ["End", "Observe"]

Observe: TypeAlias = Callable[[str, str, int | None], object]
"""Told of ``"wire"``, ``"read"`` and ``"closed"``, with the name of the end, and the bytes."""

_MOST_READ = 64 * 1024


class _Socket:
    """The socket, as far as a transport uses it."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.resets_on_close = False

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        """Note whether closing resets the connection."""
        if name == socket.SO_LINGER:
            self.resets_on_close = True

    def getsockopt(self, level: int, name: int) -> int:
        """Return that no option is set."""
        return 0


class End(asyncio.Transport):
    """One end of a connection: an asyncio transport, whose protocol is one of our transports.

    Args:
        loop: has the time, and reports arrivals.
        dice: decides what the profile leaves open.
        observe: told of writes, reads and the end.
        name: for ``observe``.
        protocol: the protocol, as asyncio uses this word.
        outgoing: takes the bytes that are written.
        addresses: of this end and of the other.
        profile: of the connection.

    Attributes:
        name, protocol: as given.
        incoming: brings the bytes that are read.
        is_closed: whether the protocol was told of the end.
    """

    def __init__(
        self,
        loop: NetworkLoop,
        dice: random.Random,
        observe: Observe,
        name: str,
        protocol: Any,
        outgoing: Flow,
        addresses: tuple[tuple[str, int], tuple[str, int]],
        profile: Profile,
    ):
        self._socket = _Socket()
        super().__init__(
            {"socket": self._socket, "sockname": addresses[0], "peername": addresses[1]}
        )
        self.name = name
        self.incoming: Flow
        self.is_closed = False
        self._loop = loop
        self._dice = dice
        self._observe = observe
        self.protocol = protocol
        self._outgoing = outgoing
        self._short_reads = profile.short_reads
        self._reset_loss = profile.reset_loss
        self._buffer = bytearray()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._has_paused_protocol = False
        self._inbox = bytearray()
        self._has_eof = self._has_reset = False
        self._is_paused = self._is_closing = self._will_read = self._will_write = False
        self._is_half_closed = False

    # Called by the protocol.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send as much as there is room for, and keep the rest."""
        # Also bytes that are lost since the end was reset: the writer cannot know that.
        self._observe("wire", self.name, len(data))
        if self._is_half_closed:
            raise RuntimeError("write after write_eof")
        if self._is_closing and not self._buffer:
            return
        data = bytes(data)
        if not self._buffer:
            room = self._outgoing.room
            self._outgoing.push(data[:room])
            data = data[room:]
        if data:
            self._buffer += data
            if len(self._buffer) > self._high and not self._has_paused_protocol:
                self._has_paused_protocol = True
                self.protocol.pause_writing()

    def writelines(self, pieces: Iterable[Any]) -> None:
        """Send the pieces as one."""
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        """Send the bytes that wait, then FIN, and read on."""
        if not self._is_closing and not self._is_half_closed:
            self._is_half_closed = True
            if not self._buffer:
                self._outgoing.finish()

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait for room."""
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set at how many waiting bytes the protocol pauses and resumes writing."""
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        """Read no more."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Read again."""
        self._is_paused = False
        self._read_soon()

    def is_reading(self) -> bool:
        """Tell whether arriving data is read."""
        return not self._is_paused and not self._is_closing

    def is_closing(self) -> bool:
        """Tell whether the end closes or has closed."""
        return self._is_closing

    def close(self) -> None:
        """Send the bytes that wait, then close."""
        if not self._is_closing:
            self._is_closing = True
            if not self._buffer:
                self._loop.call_soon(self._end, None)

    def abort(self) -> None:
        """Close now."""
        self._force(None)

    # Called by the flows.

    def take(self, piece: bytes | None) -> None:
        """Take a piece that has arrived: data, FIN or a reset."""
        if self.is_closed:
            if piece:
                self._outgoing.lose()
            return
        if piece is None:
            # RESET.
            self._has_reset = True
            if self._is_paused or self._is_closing or self._dice.random() < self._reset_loss:
                self._force(ConnectionResetError(errno.ECONNRESET, "reset by the network"))
                return
        elif piece == FIN:
            self._has_eof = True
        else:
            self._inbox += piece
        self._read_soon()

    def has_room(self) -> None:
        """Go on writing soon if bytes wait, and if there is much room, as with sockets."""
        if self._outgoing.room < self._outgoing.capacity // 3:
            return
        if self._buffer and not self._will_write and not self.is_closed:
            self._will_write = True
            self._loop.arrive(self._loop.time(), self._write_more)

    # Internal.

    def _write_more(self) -> None:
        self._will_write = False
        if self.is_closed or not self._buffer:
            return
        room = self._outgoing.room
        data = bytes(self._buffer[:room])
        del self._buffer[:room]
        self._outgoing.push(data)
        if self._has_paused_protocol and len(self._buffer) <= self._low:
            self._has_paused_protocol = False
            self.protocol.resume_writing()
        if not self._buffer and self._is_closing:
            self._loop.call_soon(self._end, None)
        elif not self._buffer and self._is_half_closed:
            self._outgoing.finish()

    def _read_soon(self) -> None:
        has_something = self._inbox or self._has_eof or self._has_reset
        if has_something and self.is_reading() and not self._will_read:
            self._will_read = True
            self._loop.arrive(self._loop.time(), self._read)

    def _read(self) -> None:
        self._will_read = False
        if not self.is_reading():
            return
        if self._inbox:
            size = min(len(self._inbox), _MOST_READ)
            if self._short_reads and self._dice.random() < self._short_reads:
                size = self._dice.randint(1, size)
            self._deliver(bytes(self._inbox[:size]))
            self._read_soon()
        elif self._has_reset:
            self._force(ConnectionResetError(errno.ECONNRESET, "reset by the network"))
        elif self._has_eof:
            self._has_eof = False
            if not self.protocol.eof_received():
                self.close()

    def _deliver(self, data: bytes) -> None:
        del self._inbox[: len(data)]
        self._observe("read", self.name, len(data))
        self.incoming.was_read(len(data))
        if isinstance(self.protocol, asyncio.BufferedProtocol):
            while data and not self._is_closing:
                buffer: Any = self.protocol.get_buffer(len(data))
                size = min(len(data), len(buffer))
                buffer[:size] = data[:size]
                self.protocol.buffer_updated(size)
                data = data[size:]
        else:
            self.protocol.data_received(data)

    def _force(self, error: Exception | None) -> None:
        if self.is_closed:
            return
        self._buffer.clear()
        # An end that was closing may have its end scheduled already; it comes once.
        self._is_closing = True
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._observe("closed", self.name, None)
        if self._socket.resets_on_close or self._inbox:
            self._outgoing.lose()
        else:
            self._outgoing.finish()
        self.protocol.connection_lost(error)
