"""TLS records: how many of them are whole, by the lengths in their headers (RFC 8446, section 5.1).

OpenSSL answers a question for data that it does not have with an error, which costs more than the
answer to the one before. Who knows how many records have come need not ask in vain.
"""

from __future__ import annotations

__all__ = ["RecordCounter"]

# The type, the version in two bytes, the length in two.
_HEADER = 5


class RecordCounter:
    """Counts the records of one direction of a connection, from its first byte."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        # The part of a header that has come, and what is to come of a record whose header has.
        self._head = b""
        self._left = 0

    def feed(self, piece: bytes | memoryview) -> int:
        """Take in the next bytes; return how many records end in them."""
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
