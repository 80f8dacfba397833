"""WebSocket as a filter: each message is a piece of the stream; where it ends means nothing.

Theory of operation
===================

Nearly all frames are binary messages of one frame. Those are read and written here, in a loop over
the bytes that came. With the parser of `websockets` for all frames, 100 calls at a time would need
1.6 times the processor time of the server. All other frames are given to that parser, one complete
frame at a time: fragments, pings, the close, and frames that are not valid. The parser is made for
the first of them. Most connections never need it, so that an idle connection is 3 KiB smaller.

A message is never compressed. One of more than 64 KiB, text, and frames that are not valid end the
connection with the codes of RFC 6455: 1009, 1003 and 1002. Small frames that carry little cost the
receiver more than the sender: pings, empty frames, and small fragments. There may be as many as
pings of the protocol above; more end the connection with 1008.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER
from websockets.protocol import Protocol as Core

from broker.errors import ConnectionLost
from broker.limit_errors import WEBSOCKET, limit_error
from broker.net.filters import Filter

try:
    from websockets.speedups import apply_mask
except ImportError:
    # The compiled module of `websockets` is missing.
    from websockets.utils import apply_mask

__all__ = ["PIECE", "PingLimit", "WebSocketFilter"]

Piece: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a message."""

PIECE = 64 * 1024
"""Bytes of the longest message that is written, and that is taken."""

# A shorter fragment that is not the last of its message is counted.
_SMALL = 1024
# The first byte of a frame that is a whole binary message.
_WHOLE = 0x82
_MASKED = 0x80
# Longer pieces are not copied to stand behind their header.
_COPIED = 4096
# A read of at most so many bytes is copied once: slices of bytes take less time than those of a
# buffer, and there are many frames in it.
_SLICED = 16384


class PingLimit(Struct, frozen=True):
    """How many small frames may come.

    Attributes:
        most: how many.
        seconds: in how many seconds.
        now: returns the time in seconds.
    """

    most: int
    seconds: float
    now: Callable[[], float] = time.monotonic


class WebSocketFilter(Filter):
    """One end of a WebSocket, after the handshake, which a subclass makes.

    Args:
        pings: how many small frames may come.
        is_server: which end.

    Attributes:
        is_server: which end.
        is_open: the handshake is done.
        peer_closed: the peer has sent its Close.
        failure: the error that ended it, after `receive` has returned the data before it.
    """

    name = "WebSocket"
    error = ConnectionLost
    purpose = WEBSOCKET
    has_close = True

    __slots__ = (
        "_core",
        "_counted",
        "_counts_until",
        "_masks",
        "_out",
        "_pings",
        "_rest",
        "failure",
        "is_open",
        "is_server",
        "peer_closed",
    )

    is_open: bool
    peer_closed: bool
    failure: ConnectionLost | None
    is_server: bool

    def __init__(self, pings: PingLimit, *, is_server: bool):
        self.is_server = is_server
        self.is_open = False
        self.peer_closed = False
        self.failure = None
        self._pings = pings
        self._counted = 0
        self._counts_until = 0.0
        # Random bytes for the next masks of a client.
        self._masks = b""
        self._core: Core | None = None
        # The bytes of a frame, or of the head of the handshake, that is not complete.
        self._rest: bytearray | None = None
        self._out: list[bytes] = []

    def receive(self, data: bytes | memoryview, /) -> bytes:
        """Take bytes from below; return those of the messages that they complete.

        Raises:
            ConnectionLost: the connection cannot continue; `data_to_send` returns the Close.
        """
        if not self.is_open:
            data = self._shake_hands(data)
            if not self.is_open:
                return b""
        found: list[Piece] = []
        if self._rest:
            self._rest += data
            used = self._read(self._rest, found)
            del self._rest[:used]
        else:
            used = self._read(data, found)
            if used < len(data):
                self._rest = bytearray(data[used:])
        if self.failure is not None and not found:
            raise self.failure
        return bytes(found[0]) if len(found) == 1 else b"".join(found)

    def send(self, data: bytes, /) -> None:
        """Make messages of bytes from above; drop them after the Close."""
        if self._core is not None and self._core.state is not OPEN:
            return
        if len(data) <= PIECE:
            self._send_message(data)
            return
        view = memoryview(data)
        for at in range(0, len(data), PIECE):
            self._send_message(view[at : at + PIECE])

    def passed(self, data: bytes, /) -> bytes:
        """Make a message of bytes from above, and return it: nearly all writes are short."""
        if len(data) > _COPIED or self._out or self._core is not None:
            return super().passed(data)
        return self._short(data)

    def data_to_send(self) -> bytes:
        """Return the bytes for below, and forget them."""
        out = self._out
        if not out:
            return b""
        if len(out) == 1:
            return out.pop()
        data = b"".join(out)
        out.clear()
        return data

    def close(self) -> None:
        """Send a Close, once."""
        if not self.is_open:
            return
        core = self._the_core()
        if core.state is OPEN:
            core.send_close(1000)
            self._take_written(core)

    def shrink(self) -> None:
        """Free the buffer of long messages."""
        if not self._rest:
            self._rest = None

    def _shake_hands(self, data: bytes | memoryview) -> bytes | memoryview:
        """Take bytes of the handshake; return what follows it, and set `is_open` at its end.

        Raises:
            ConnectionLost: the handshake has failed; `data_to_send` returns the answer.
        """
        raise NotImplementedError

    def _read(self, data: Piece, found: list[Piece]) -> int:
        """Read all complete frames; return how many bytes they have."""
        at, size = 0, len(data)
        if size <= _SLICED:
            data = bytes(data)
        mask = 4 if self.is_server else 0
        masked = _MASKED if mask else 0
        core = None if self._core is None else self._core_if_needed()
        while size - at >= 2:
            # With the wrong bit of the mask it is above 127.
            length, start = data[at + 1] ^ masked, at + 2
            is_valid = length < 128
            length &= 127
            if length == 126:
                start += 2
                if start > size:
                    break
                length = data[at + 2] << 8 | data[at + 3]
            elif length == 127:
                start += 8
                if start > size:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
                is_valid = is_valid and length <= PIECE
            start += mask
            end = start + length
            if is_valid and end > size:
                break
            if is_valid and length and data[at] == _WHOLE and core is None:
                piece = data[start:end]
                found.append(apply_mask(piece, bytes(data[start - 4 : start])) if mask else piece)
            else:
                self._take_frame(bytes(data[at : min(end, size)]), length, found)
                if self.failure is not None or self.peer_closed:
                    return size
                core = self._core_if_needed()
            at = end
        return at

    def _core_if_needed(self) -> Core | None:
        """Return the parser if it is inside a message in fragments, or has closed."""
        core = self._core
        is_idle = core is None or (core.current_size is None and core.state is OPEN)
        return None if is_idle else core

    def _take_frame(self, frame: bytes, length: int, found: list[Piece]) -> None:
        """Have the parser take one frame that is not a whole binary message, or is not valid."""
        core = self._the_core()
        opcode = frame[0] & 15
        if opcode == Opcode.TEXT:
            core.fail(1003, "binary messages only")
            self._end(core, ConnectionLost("the peer sent text over WebSocket"))
            return
        is_fragment = not frame[0] & 0x80 and length < _SMALL
        if (is_fragment or not length or opcode > 7) and opcode != Opcode.CLOSE:
            self._counted += 1
            if self._has_too_many():
                core.fail(1008, "too many small frames")
                self._end(core, limit_error(ConnectionLost, "max_pings", self._pings.most))
                return
        core.receive_data(frame)
        for event in core.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                found.append(bytes(event.data))
        if core.parser_exc is not None:
            self._end(core, self._fault(core))
        elif core.close_rcvd is not None:
            self.peer_closed = True
        self._take_written(core)

    def _has_too_many(self) -> bool:
        if self._counted <= self._pings.most:
            return False
        now = self._pings.now()
        if now < self._counts_until:
            return True
        self._counts_until = now + self._pings.seconds
        self._counted = 1
        return False

    def _fault(self, core: Core) -> ConnectionLost:
        if core.close_sent is not None and core.close_sent.code == 1009:
            return ConnectionLost(f"WebSocket message of more than {PIECE} bytes")
        return ConnectionLost(f"not a valid WebSocket frame: {core.parser_exc}")

    def _end(self, core: Core, failure: ConnectionLost) -> None:
        self.failure = failure
        self._take_written(core)

    def _take_written(self, core: Core) -> None:
        # An empty piece says that TCP is to be closed, which the failure says too.
        self._out.extend(filter(None, core.data_to_send()))

    def _the_core(self) -> Core:
        if self._core is None:
            self._core = Core(SERVER if self.is_server else CLIENT, state=OPEN, max_size=PIECE)
        return self._core

    def _short(self, piece: bytes | memoryview) -> bytes:
        """Return a message of at most `_COPIED` bytes."""
        size = len(piece)
        masked = 0 if self.is_server else _MASKED
        if size < 126:
            head = bytes((_WHOLE, masked | size))
        else:
            head = bytes((_WHOLE, masked | 126, size >> 8, size & 255))
        if not masked:
            return head + piece
        mask = self._next_mask()
        return head + mask + apply_mask(piece, mask)

    def _next_mask(self) -> bytes:
        # Several at a time: asking the system for each takes as long as the rest of a short
        # message.
        masks = self._masks or secrets.token_bytes(64)
        self._masks = masks[4:]
        return masks[:4]

    def _send_message(self, piece: bytes | memoryview) -> None:
        size = len(piece)
        if size <= _COPIED:
            self._out.append(self._short(piece))
            return
        masked = 0 if self.is_server else _MASKED
        if size < 65536:
            head = bytes((_WHOLE, masked | 126, size >> 8, size & 255))
        else:
            head = bytes((_WHOLE, masked | 127)) + size.to_bytes(8, "big")
        if masked:
            mask = self._next_mask()
            head += mask
            piece = apply_mask(piece, mask)
        self._out += (head, piece if isinstance(piece, bytes) else bytes(piece))
