"""A buffer for the bytes of an incomplete element, stored as the received pieces."""

from __future__ import annotations

__all__ = ["Parts"]

# Each piece is an object with 33 bytes in addition to its data. Without joining small pieces at
# times, 16 MiB in pieces of two bytes would take 350 MB.
_MOST_LOOSE = 1024


class Parts:
    """Pieces of bytes. They take little more memory than their data; adding one copies nothing.

    Attributes:
        size: the number of bytes in all pieces.
    """

    __slots__ = ("_joined", "_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._joined = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Add a piece."""
        pieces = self._pieces
        pieces.append(piece)
        self.size += len(piece)
        if len(pieces) - self._joined >= _MOST_LOOSE:
            pieces[self._joined :] = [b"".join(pieces[self._joined :])]
            self._joined += 1

    def take(self) -> bytes:
        """Remove all pieces, and return them joined."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._joined = self.size = 0
        return data
