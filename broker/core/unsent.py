"""The messages of one connection that wait to be written, as bytes, in the order of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.native import native

__all__ = ["PythonUnsent", "Unsent"]


class PythonUnsent:
    """Messages that wait to be written.

    Attributes:
        queued: number of messages; the outbox adds those that it has not encoded yet.
        size: number of bytes.
        is_closed: whether further messages are dropped.
    """

    __slots__ = ("_pieces", "is_closed", "queued", "size")

    def __init__(self) -> None:
        self.is_closed = False
        self.queued = 0
        self.size = 0
        self._pieces: list[bytes] = []

    def append(self, piece: bytes) -> None:
        """Add a message, unless it is dropped."""
        if not self.is_closed:
            self._pieces.append(piece)
            self.queued += 1
            self.size += len(piece)

    def take(self) -> bytes:
        """Remove all messages, and return their bytes."""
        pieces = self._pieces
        data = b"".join(pieces)
        pieces.clear()
        self.queued = self.size = 0
        return data

    def close(self) -> None:
        """Drop all messages, and those that are added later."""
        self.is_closed = True
        self._pieces.clear()
        self.queued = self.size = 0


if TYPE_CHECKING:
    Unsent = PythonUnsent
else:
    Unsent = PythonUnsent if native is None else native.Unsent
