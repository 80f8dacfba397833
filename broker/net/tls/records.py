"""Counts complete TLS records by the lengths in their headers (RFC 8446, section 5.1).

When OpenSSL has no data, a read fails with an error that costs more than a successful read. A
caller that knows how many records are complete can avoid that read.
"""

from __future__ import annotations

__all__ = ["RecordCounter"]

# The type, the version in two bytes, the length in two.
_HEADER = 5


class RecordCounter:
    """Counts the complete records of one direction of a connection, from its first byte."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        # The received part of a header, and the bytes that a record with a complete header still
        # needs.
        self._head = b""
        self._left = 0

    def feed(self, piece: bytes | memoryview) -> int:
        """Take the next bytes; return how many records end in them."""
        if self._head:
            piece = self._head + bytes(piece)
            self._head = b""
        pos, size, ended = self._left, len(piece), 0
        if pos:
            if pos > size:
                self._left = pos - size
                return 0
            ended = 1
        while size - pos >= _HEADER:
            pos += _HEADER + (piece[pos + 3] << 8 | piece[pos + 4])
            if pos > size:
                self._left = pos - size
                return ended
            ended += 1
        self._left = 0
        self._head = bytes(piece[pos:])
        return ended
