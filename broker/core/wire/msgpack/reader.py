"""The reader of msgpack/1: decodes bytes, in any pieces, to messages.

Theory of operation. A frame is its length in four bytes, most significant first, and one msgpack
array whose first element is the number of the command; ``docs/reference/wire/msgpack.md`` lists
them. It is decoded in C against the types of ``frames``, which checks the number of
fields, their types, keys and depth. So no tuple of an attacker becomes a key, and no decoding
recurses deeper than the types. If a frame is large enough to exceed a limit, its elements are
counted first, head by head and in slices (``core.wire.msgpack.nodes``): its cost is known before it
is decoded.

An incomplete frame is kept as the received pieces, which are joined once. While complete frames
wait to be decoded, the reader has one buffer and an index into it. Bytes that arrive in that time
are kept as pieces until the buffer is used up. So each byte is copied a fixed number of times.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from struct import Struct
from typing import Any

import msgspec

from broker.core.wire.conversion import PLAIN, with_expressions, with_values
from broker.core.wire.messages import GraphCall, Message, MessageQueue
from broker.core.wire.msgpack.frames import FRAMES, Graph, may_have_promises, message_of
from broker.core.wire.msgpack.nodes import checked, is_within, most_unchecked
from jelly.errors import LimitExceeded, ProtocolError
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.parts import Parts
from jelly.slices import UNFINISHED, Walk

__all__ = ["FrameReader", "decoder"]

# Bytes of a frame from which its heads are always counted.
_LARGE = 4096
_read_length = Struct(">I").unpack_from


@functools.cache
def decoder() -> Callable[[memoryview], Any]:
    """Return the decoder of frames; made for the first connection that needs it."""
    return msgspec.msgpack.Decoder(FRAMES).decode


class FrameReader:
    """Decodes messages from bytes that arrive in pieces of any size.

    Args:
        limits: of the size and the elements of a frame.
        keeps_expressions: return each value as an expression, for hooks that need expressions.

    Attributes:
        buffer: bytes with a frame that is complete; empty unless complete frames wait.
        position: where the first of them begins in the buffer.
        most_unchecked: the length up to which a frame cannot exceed a limit.
    """

    __slots__ = (
        "_check",
        "_convert",
        "_decode",
        "_ends",
        "_is_dead",
        "_limits",
        "_parts",
        "_wanted",
        "buffer",
        "most_unchecked",
        "position",
    )

    def __init__(self, limits: Limits, keeps_expressions: bool = False):
        self._limits = limits
        self.most_unchecked = most_unchecked(limits)
        self.buffer = b""
        self.position = 0
        # The pieces of an incomplete frame of _wanted bytes, or the bytes after the buffer.
        self._parts = Parts()
        self._wanted = 0
        self._is_dead = False
        self._ends: list[int] | None = None
        # The unfinished check of the frame at _pos, if it takes more than one slice.
        self._check: Walk[None] | None = None
        self._decode = decoder()
        self._convert = _EXPRESSIONS if keeps_expressions else _VALUES

    def set_limits(self, limits: Limits) -> None:
        """Set the limits for the following frames."""
        self._limits = limits
        self.most_unchecked = most_unchecked(limits)

    def note_ends(self, ends: list[int] | None) -> None:
        """Append the end of each message to a list from now on; see `MessageReader`."""
        self._ends = ends

    def receive(self, data: bytes, inbox: MessageQueue, most: int = -1) -> bool:
        """Take in bytes, and append the messages that they complete; see `MessageReader`.

        Raises:
            ProtocolError: a frame is too large or not a message. Messages before it are in the
                inbox.
            RuntimeError: this reader has raised ProtocolError before.
        """
        if self._is_dead:
            raise RuntimeError("decoder already failed")
        if not most:
            return self._store(data)
        parts, pos, behind = self._parts, 0, self.buffer
        if behind:
            if data:
                parts.add(data)
            data, pos = behind, self.position
        elif parts.size:
            parts.add(data)
            if parts.size < self._wanted:
                return False
            data = parts.take()
        decode, convert, most_unchecked = self._decode, self._convert, self.most_unchecked
        view, end, ends = memoryview(data), len(data), self._ends
        # Whether decoding stops before all complete frames are decoded.
        is_behind = False
        self._wanted = 4
        try:
            while end - pos >= 4:
                start = pos + 4
                (length,) = _read_length(data, pos)
                stop = start + length
                if stop > end:
                    self._check_length(length)
                    self._wanted = 4 + length
                    break
                if length > most_unchecked:
                    if length > self._limits.max_expression:
                        self._check_length(length)
                    body = view[start:stop]
                    if length < _LARGE and is_within(data[start:stop], self._limits):
                        message = decode(body)
                    elif self._has_passed(body):
                        message = self._decode_large(body)
                    else:
                        is_behind = True
                        break
                else:
                    message = decode(view[start:stop])
                kind = type(message)
                if kind in convert:
                    message = convert[kind](message)
                    if kind is Graph and isinstance(message, GraphCall):
                        message.has_promises = may_have_promises(message, data, start, stop)
                inbox.append(message)
                pos = stop
                if ends is not None:
                    ends.append(pos)
                most -= 1
                if not most:
                    is_behind = True
                    break
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._die()
            raise ProtocolError(f"malformed message: {str(error)[:200]}") from None
        except ProtocolError:
            self._die()
            raise
        if pos < end or behind:
            return self._keep(data, pos, is_behind)
        return False

    def hold(self, data: bytes) -> bool:
        """Take in bytes without decoding them; return whether there is a complete frame.

        Raises:
            ProtocolError: the next frame is too large.
            RuntimeError: this reader has raised ProtocolError before.
        """
        if self._is_dead:
            raise RuntimeError("decoder already failed")
        parts = self._parts
        if self.buffer:
            parts.add(data)
            return True
        if parts.size:
            parts.add(data)
            if parts.size < self._wanted:
                return False
            data = parts.take()
        return self._begin(data, 0)

    def skip_to(self, position: int) -> bool:
        """Continue at a position of the buffer; return whether there is a complete frame.

        Raises:
            ProtocolError: the next frame is too large.
        """
        data, parts = self.buffer, self._parts
        if position == len(data):
            self.buffer, self.position = b"", 0
            return bool(parts.size) and self._begin(parts.take(), 0)
        if parts.size and not _is_complete(data, position):
            data, position = data[position:] + parts.take(), 0
        return self._begin(data, position)

    def _begin(self, data: bytes, position: int) -> bool:
        """Use ``data`` as the buffer if a complete frame is at a position; else keep the rest."""
        left = len(data) - position
        self._wanted = 4
        if left >= 4:
            (length,) = _read_length(data, position)
            if length <= left - 4:
                self.buffer, self.position = data, position
                return True
            try:
                self._check_length(length)
            except ProtocolError:
                self._die()
                raise
            self._wanted = 4 + length
        self.buffer, self.position = b"", 0
        if left:
            self._parts.add(data[position:] if position else data)
        return False

    def _store(self, data: bytes) -> bool:
        """Store bytes; return whether there may be complete frames in the stored bytes."""
        if data:
            self._parts.add(data)
        return bool(self.buffer) or self._parts.size >= self._wanted

    def _has_passed(self, body: memoryview) -> bool:
        """Do one slice of the check of a large frame; return whether the check is complete."""
        if self._check is None:
            self._check = checked(body, self._limits)
        if next(self._check) is UNFINISHED:
            return False
        self._check = None
        return True

    def _decode_large(self, body: memoryview) -> Any:
        """Decode a frame without the garbage collector, which would scan it many times.

        A list of a million lists takes a quarter of the time.
        """
        if not gc.isenabled():
            return self._decode(body)
        gc.disable()
        try:
            return self._decode(body)
        finally:
            gc.enable()

    def _keep(self, data: bytes, pos: int, is_behind: bool) -> bool:
        """Store the undecoded bytes; return whether there may be complete frames in them."""
        parts = self._parts
        if not is_behind or pos == len(data):
            # All complete frames of the buffer were decoded: go on with the bytes after it.
            data = data[pos:] + parts.take() if pos or parts.size else data
            is_behind, pos = is_behind or len(data) >= self._wanted, 0
        if is_behind and data:
            self.buffer, self.position = data, pos
            return True
        self.buffer, self.position = b"", 0
        if data:
            parts.add(data)
        return False

    def forget(self) -> None:
        """Drop the pending bytes."""
        self._check = None
        self.buffer, self.position = b"", 0
        self._parts = Parts()

    def _die(self) -> None:
        self._is_dead = True
        self.forget()

    def _check_length(self, length: int) -> None:
        """Raise LimitExceeded if a frame is too large."""
        most = self._limits.max_expression
        if length > most:
            raise limit_error(LimitExceeded, "max_expression", most, length)

    @property
    def is_between_expressions(self) -> bool:
        """Whether no frame has been started."""
        return not self.pending

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a decoded message."""
        behind = self.buffer
        return len(behind) - self.position + self._parts.size if behind else self._parts.size

    @property
    def held(self) -> int:
        """Memory of the pending bytes, in bytes."""
        return len(self.buffer) + self._parts.size


def _is_complete(data: bytes, position: int) -> bool:
    left = len(data) - position - 4
    return left >= 0 and _read_length(data, position)[0] <= left


def _of_values(frame: Graph) -> Message:
    return with_values(message_of(frame))


_VALUES: dict[type, Callable[[Any], Message]] = {Graph: _of_values}
_EXPRESSIONS: dict[type, Callable[[Any], Message]] = {
    Graph: message_of,
    **dict.fromkeys(PLAIN, with_expressions),
}
